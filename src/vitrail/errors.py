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


class SoundError(VitrailError):
    """A recording that cannot be read."""


class DataError(VitrailError):
    """A folder of images, or a set, that a model cannot be trained on."""


class DamagedImages(DataError):
    """Images of a set that do not decode, all of them in one error."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__(f"{len(faults)} image(s) do not decode, repair or remove them: {first_few(self.faults)}")


class ModelError(VitrailError):
    """A model file, a checkpoint or a network that is not what it should be."""


class RankError(VitrailError):
    """One of several processes that train together has failed."""

    def __init__(self, message: str, exit_code: int = VitrailError.exit_code) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ProviderError(VitrailError):
    """onnxruntime, or the requested provider, is not available."""


class ParityError(VitrailError):
    """The exported file differs from the network, so it was not written."""


NAMED = 5  # faults that one error lists


def first_few(faults: Sequence[str]) -> str:
    """The first faults, and the number of the others."""
    more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    return f"{'; '.join(faults[:NAMED])}{more}"


def first_line(fault: BaseException | str) -> str:
    """The first line of an error or of what a program printed."""
    lines = (line.strip() for line in str(fault).splitlines())
    return next(filter(None, lines), type(fault).__name__ if isinstance(fault, BaseException) else "no reason given")
