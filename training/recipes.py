"""Shipped recipes: found by name, so that `--config digits-vit` works from any folder."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from vitrail.errors import UsageError

FLAGS = ("--config", "-c")


def recipes(room: str = "") -> dict[str, str]:
    """Every shipped recipe of a room of configs: its name and where its file lies."""
    folder = files("vitrail.configs").joinpath(room) if room else files("vitrail.configs")
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {entry.name.removesuffix(".yaml"): str(entry) for entry in sorted(found, key=lambda entry: entry.name)}


def find_recipe(name: str, room: str = "") -> str:
    """A file of this name where there is one, else the shipped recipe called so."""
    if Path(name).is_file():
        return name
    known = recipes(room)
    if name not in known:
        raise UsageError(f"there is no configuration '{name}': give a YAML file, or a recipe: {', '.join(known)}")
    return known[name]


def with_recipes(words: Sequence[str]) -> list[str]:
    """Command-line words with every `--config NAME` pointing at a file."""
    return flatten((flag, find_recipe(value) if flag in FLAGS else value) for flag, value in pairs(words))


def values_of(words: Sequence[str], *flags: str) -> list[str]:
    """What follows these flags, in order, as `--flag value` or `--flag=value`."""
    return [value for flag, value in pairs(words) if flag in flags]


def pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Words as flags with their values; a flag without one, or a lone word, has the value ''."""
    found: list[tuple[str, str]] = []
    for word in words:
        flag, equals, value = word.partition("=")
        if equals and flag.startswith("-"):
            found.append((flag, value))
        elif not word.startswith("-") and found and found[-1][0].startswith("-") and not found[-1][1]:
            found[-1] = (found[-1][0], word)
        else:
            found.append((word, ""))
    return found


def flatten(found: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{flag}={value}" if value else flag for flag, value in found]
