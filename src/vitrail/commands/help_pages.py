"""Short help pages of the verbs built from torch classes: shown without importing torch."""

from collections.abc import Sequence
from importlib.resources import files


def shown(args: Sequence[str], verb: str, page: str, room: str = "") -> bool:
    """Print the short page where help is asked for plainly; `--help=all` is left to the full parser."""
    if not any(word in ("-h", "--help") for word in args):
        return False
    folder = files("vitrail.configs").joinpath(room) if room else files("vitrail.configs")
    recipes = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    print(f"usage: vitrail {verb} [OPTIONS]\n\n{page.strip()}\n")
    print(f"recipes: {', '.join(recipes)}\n")
    print(f"vitrail {verb} --help=all lists every option (and takes some seconds).")
    return True
