"""vitrail data check: what is wrong with a set of images, before anything is trained on it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vitrail.errors import UsageError
from vitrail.parsers import Parser

USAGE = """usage: vitrail data check PATH [OPTIONS]

  check      counts, sizes, corrupt files, duplicates, leaks between parts: everything in one report and a page

vitrail data check --help has the options."""

ABOUT = """Check a set of images before anything is trained on it; nothing is changed.

  vitrail data check my_images
  vitrail data check my_images --output report.html
  vitrail data check my_images --json > report.json

It reads every image once and reports counts, imbalance, sizes and modes, all files that do not decode, exact and near
duplicates, images of one part that are in another, one image under two labels, what a centre crop cuts, and files that
are not read, with how to convert them. The page shows the images. The command exits with 1 if `vitrail fit` would
refuse the set, else with 0."""


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if args else UsageError.exit_code
    if args[0] != "check":
        raise UsageError(f"there is no `vitrail data {args[0]}`; there is `vitrail data check`")
    return check_set(args[1:])


def check_set(args: Sequence[str]) -> int:
    parser = Parser("data check", ABOUT)
    parser.add_argument("path", help="images, as --data.path of `vitrail fit` takes them")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the split of unsplit images, as --data.seed (default: 0)"
    )
    parser.add_argument("--output", type=Path, help="the page to write (default: NAME.check.html; with --json none)")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")
    options = parser.parse_args(args)

    from dataclasses import asdict

    from vitrail.atomic import write_atomically
    from vitrail.data.check.check import check
    from vitrail.data.check.page import page
    from vitrail.data.check.text import text_of

    checked = check(options.path, options.seed, show_progress if sys.stderr.isatty() else no_progress)
    output = options.output or (None if options.json else Path(f"{Path(options.path).resolve().name}.check.html"))
    if options.json:
        print(json.dumps({**asdict(checked.report), "refused": checked.report.is_refused}, indent=2))
    else:
        print(text_of(checked.report))
    if output is not None:
        write_atomically(output, page(checked).encode("utf-8", "backslashreplace"))
    if not options.json:
        print(f"\npage: {output}")
    return 1 if checked.report.is_refused else 0


def show_progress(done: int, count: int) -> None:
    """One line on the terminal, removed at the end."""
    line = f"{done:,} of {count:,} images" if done < count else ""
    sys.stderr.write(f"\r\x1b[K{line}")
    sys.stderr.flush()


def no_progress(done: int, count: int) -> None:
    pass
