"""The argument parser of the light commands: wrong use is one line, not a page."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import NoReturn

from vitrail.errors import UsageError


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
