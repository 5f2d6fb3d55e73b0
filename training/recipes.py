"""Shipped recipes by name, so that `--config digits-vit` works from any folder."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from vitrail.errors import UsageError

FLAGS = ("--config", "-c")


def recipes(folder: str = "") -> dict[str, str]:
    """Every shipped recipe of a folder of configs: name and path."""
    root = files("vitrail.configs").joinpath(folder) if folder else files("vitrail.configs")
    entries = (entry for entry in root.iterdir() if entry.name.endswith(".yaml"))
    return dict(sorted((entry.name.removesuffix(".yaml"), str(entry)) for entry in entries))


def find_recipe(name: str, folder: str = "") -> str:
    """The file of this name if it exists, else the shipped recipe."""
    if Path(name).is_file():
        return name
    known = recipes(folder)
    if name not in known:
        raise UsageError(f"there is no configuration '{name}': give a YAML file, or a recipe: {', '.join(known)}")
    return known[name]


def with_recipes(argv: Sequence[str]) -> list[str]:
    """The arguments with every `--config NAME` replaced by a path."""
    return flatten((flag, find_recipe(value) if flag in FLAGS else value) for flag, value in pairs(argv))


def values_of(argv: Sequence[str], *flags: str) -> list[str]:
    """The values of these flags in order, given as `--flag value` or `--flag=value`."""
    return [value for flag, value in pairs(argv) if flag in flags]


def pairs(argv: Sequence[str]) -> list[tuple[str, str]]:
    """Arguments as (flag, value); a flag without a value, or a positional argument, has the value ''."""
    pairs: list[tuple[str, str]] = []
    for argument in argv:
        flag, equals, value = argument.partition("=")
        if equals and flag.startswith("-"):
            pairs.append((flag, value))
        elif not argument.startswith("-") and pairs and pairs[-1][0].startswith("-") and not pairs[-1][1]:
            pairs[-1] = (pairs[-1][0], argument)
        else:
            pairs.append((argument, ""))
    return pairs


def flatten(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{flag}={value}" if value else flag for flag, value in pairs]
