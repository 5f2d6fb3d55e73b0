"""Short help pages of the verbs built from torch classes: shown without importing torch."""

from collections.abc import Sequence
from importlib.resources import files


def shown(args: Sequence[str], verb: str, page: str) -> bool:
    """Print the short page where help is asked for plainly; `--help=all` is left to the full parser."""
    if not any(word in ("-h", "--help") for word in args):
        return False
    names = sorted(entry.name.removesuffix(".yaml") for entry in files("vitrail.configs").iterdir())
    recipes = [name for name in names if not name.startswith("__")]
    print(f"usage: vitrail {verb} [OPTIONS]\n\n{page.strip()}\n")
    print(f"recipes: {', '.join(recipes)}\n")
    print(f"vitrail {verb} --help=all lists every option (and takes some seconds).")
    return True
