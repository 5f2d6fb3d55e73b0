"""Errors, worded for the person who can fix them."""

from collections.abc import Sequence


class VitrailError(Exception):
    """An error that its reader can fix; the command prints it as one line and ends with `exit_code`."""

    exit_code = 1


class UsageError(VitrailError):
    """The command, or a configuration file, was used wrongly."""

    exit_code = 2

    @classmethod
    def of_parser(cls, fault: Exception, command: str) -> "UsageError":
        """A parser's error, which may span lines, as one line with a pointer to the help."""
        return cls(f"{' '.join(str(fault).split())} (see `{command} --help`)")


class ImageError(VitrailError):
    """An image that cannot be decoded."""

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
    """A folder of images, or a set, that a model cannot be trained on."""


class DamagedImages(DataError):
    """Images of a set that do not decode, all of them in one error."""

    NAMED = 5

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(sorted(faults))
        more = f"; and {len(faults) - self.NAMED} more" if len(faults) > self.NAMED else ""
        named = "; ".join(self.faults[: self.NAMED])
        super().__init__(f"{len(faults)} image(s) do not decode, repair or remove them: {named}{more}")


class ModelError(VitrailError):
    """A model file, a checkpoint or a network that is not what it should be."""


class ProviderError(VitrailError):
    """onnxruntime, or the requested provider, is not available."""


class ParityError(VitrailError):
    """The exported file differs from the network, so it was not written."""
