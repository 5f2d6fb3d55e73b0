"""Command-line parsers whose usage errors are one line."""

from argparse import ArgumentError, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from vitrail.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser as ConfigParser


class Parser(ArgumentParser):
    """argparse's parser, which raises UsageError instead of exiting."""

    def __init__(self, verb: str, description: str) -> None:
        super().__init__(
            prog=f"vitrail {verb}",
            description=description,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def config_parser(verb: str, description: str) -> "ConfigParser":
    """A parser whose options may also stand in a YAML file; of an option given twice, the later one wins."""
    from jsonargparse import ArgumentParser as ConfigParser

    parser = ConfigParser(
        prog=f"vitrail {verb}",
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="a YAML file with these options")
    return parser


def read(parser: "ConfigParser", args: Sequence[str]) -> Any:
    """Parse the options; errors become UsageError."""
    try:
        return parser.parse_args(list(args))
    except ArgumentError as fault:
        raise UsageError.of_parser(fault, parser.prog) from fault
