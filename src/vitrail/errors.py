"""What can go wrong, worded for the person who can mend it."""

from collections.abc import Sequence


class VitrailError(Exception):
    """A failure that its reader can mend; the command prints it as one line and ends with `exit_code`."""

    exit_code = 1


class UsageError(VitrailError):
    """The command, or a configuration file, was used wrongly."""

    exit_code = 2

    @classmethod
    def of_parser(cls, fault: Exception, command: str) -> "UsageError":
        """A parser's complaint, which may span lines, as one line that says where to read on."""
        return cls(f"{' '.join(str(fault).split())} (see `{command} --help`)")


class ImageError(VitrailError):
    """These bytes cannot be shown to a model."""

    code = "bad_image"


class UnsupportedFormat(ImageError):
    """Not one of the image formats that vitrail reads."""

    code = "unsupported_format"


class CorruptImage(ImageError):
    """A known format, but the image does not decode."""

    code = "corrupt_image"


class ImageTooLarge(ImageError):
    """More pixels than vitrail is willing to decode."""

    code = "image_too_large"


class DataError(VitrailError):
    """A folder of images, or a set, that cannot be learnt from."""


class DamagedImages(DataError):
    """Images of a set that do not decode, all of them in one error."""

    NAMED = 5

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(sorted(faults))
        more = f"; and {len(faults) - self.NAMED} more" if len(faults) > self.NAMED else ""
        named = "; ".join(self.faults[: self.NAMED])
        super().__init__(f"{len(faults)} image(s) do not decode, mend or remove them: {named}{more}")


class ModelError(VitrailError):
    """A model file, a checkpoint or a network that is not what it should be."""


class ProviderError(VitrailError):
    """onnxruntime, or the provider that was asked for, is not there."""


class ParityError(VitrailError):
    """The exported file does not answer as the network did, so it was not written."""
