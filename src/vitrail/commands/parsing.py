"""The argument parser of the light commands: wrong use is one line, not a page."""

from argparse import ArgumentError, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import NoReturn, TypeVar

from vitrail.errors import UsageError

T = TypeVar("T")


class Parser(ArgumentParser):
    """argparse's parser, which raises UsageError instead of printing its usage and leaving."""

    def __init__(self, verb: str, description: str) -> None:
        super().__init__(
            prog=f"vitrail {verb}",
            description=description,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def without_traceback(parse: Callable[[], T], verb: str) -> T:
    """Let a jsonargparse parser speak in one line too."""
    try:
        return parse()
    except ArgumentError as fault:
        reason = " ".join(str(fault).split())
        raise UsageError(f"{reason} (see `vitrail {verb} --help`)") from fault
