"""Short help pages of the commands built from torch classes: shown without importing torch."""

from collections.abc import Sequence


def shown(args: Sequence[str], verb: str, page: str, subfolder: str = "") -> bool:
    """Print the short page for plain --help; `--help=all` is left to the full parser."""
    if not any(option in ("-h", "--help") for option in args):
        return False
    from vitrail.training.recipes import recipes

    print(f"usage: vitrail {verb} [OPTIONS]\n\n{page.strip()}\n")
    print(f"recipes: {', '.join(recipes(subfolder))}\n")
    print(f"vitrail {verb} --help=all lists every option (and takes some seconds).")
    return True
