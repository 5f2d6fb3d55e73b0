"""Errors, worded for the person who can fix them."""

import re
from collections.abc import Sequence

# In the messages of jsonargparse: the option, the class that cannot be made and why, a class that is not known; and
# that a class or function is of another kind than a type.
OPTION = re.compile(r'Parser key "(\S+)": ')
PROBLEM = re.compile(r"Problem with given class_path '(\S+)': (.+?)(?= - | Given value|$)")
UNKNOWN = re.compile(r"Expected a dot import path string: (\S+)")
OTHER_KIND = ("does not correspond to a subclass of", "to be a subclass of", "to be a function that returns")


class VitrailError(Exception):
    """An error that its reader can fix; the command prints it as one line and ends with `exit_code`."""

    exit_code = 1


class UsageError(VitrailError):
    """The command, or a configuration file, was used wrongly."""

    exit_code = 2

    @classmethod
    def of_parser(cls, fault: Exception, command: str) -> "UsageError":
        """A parser's error, which may span lines, as one line with a pointer to the help."""
        return cls(f"{without_types(fault)} (see `{command} --help`)")


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


def without_types(fault: Exception) -> str:
    """A parser's error as one line: of a class that cannot be made which and why, without the types of its option."""
    message = reason_in(" ".join(str(fault).split()))
    option, problem, unknown = (form.search(message) for form in (OPTION, PROBLEM, UNKNOWN))
    if option and problem:
        install = ": install the package that has it" if problem[2].startswith("No module") else ""
        return f"{option[1]}: {problem[1]}: {problem[2]}{install}"
    if option and unknown:
        return f"{option[1]}: there is no {unknown[1]}: a class of another package is named with its module"
    return message


NAMED = 5  # faults that one error lists


def first_few(faults: Sequence[str]) -> str:
    """The first faults, and the number of the others."""
    more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    return f"{'; '.join(faults[:NAMED])}{more}"


def reason_in(text: str) -> str:
    """Of a value that fits none of several types, why it does not fit the one of its kind."""
    head, found, reasons = text.partition("Does not validate against any of the Union subtypes")
    if not found:
        return text
    listed, _, given = reasons.partition("Errors:")[2].partition("Given value type:")
    each = [reason.partition("expects a function or a callable class:")[2] or reason for reason in listed.split(" - ")]
    of_kind = [one for one in each[1:] if not any(word in one for word in OTHER_KIND)] or each[-1:]
    reason, value = (
        of_kind[0].partition(". Got value: Namespace(")[0].strip(),
        given.partition("Given value:")[2].strip(),
    )
    is_said = value in reason or value.startswith("NestedArg(") or PROBLEM.search(reason)
    more = "" if is_said else f"; given {value}"
    return f"{head.partition(':')[0]}: {reason}{more}"


def first_line(fault: BaseException | str) -> str:
    """The first line of an error or of what a program printed."""
    lines = (line.strip() for line in str(fault).splitlines())
    return next(filter(None, lines), type(fault).__name__ if isinstance(fault, BaseException) else "no reason given")
