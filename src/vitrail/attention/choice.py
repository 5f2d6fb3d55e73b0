"""A part as YAML names it: its name, or its name with settings, {name: window, reach: 3}."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from vitrail.errors import UsageError

Chosen = str | dict[str, int | float | str]  # words of the command line become the first of these that they can be


@dataclass(frozen=True)
class Part:
    name: str
    settings: dict[str, int | float] = field(default_factory=dict)


def part(kind: str, chosen: Chosen, known: Iterable[str]) -> Part:
    """What was chosen; a name that is not known is refused, with those that are."""
    given = {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    names = list(known)
    if "name" not in given:
        raise UsageError(f"which {kind}? {given} has no name; there is {', '.join(names)}")
    name = given.pop("name")
    if not isinstance(name, str) or name not in names:
        near = get_close_matches(str(name), names, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"there is no {kind} '{name}'{hint}; there is {', '.join(names)}")
    return Part(name, given)  # type: ignore[arg-type]


def settled(kind: str, chosen: Part, defaults: Mapping[str, int | float]) -> dict[str, int | float]:
    """All settings of a part, those that were not given as they are otherwise."""
    for name, value in chosen.settings.items():
        if name not in defaults:
            has = f"; it has {', '.join(defaults)}" if defaults else ", nor any other setting"
            raise UsageError(f"the {kind} {chosen.name} has no setting '{name}'{has}")
        fitting = (int, float) if isinstance(defaults[name], float) else int
        if isinstance(value, bool) or not isinstance(value, fitting):
            raise UsageError(
                f"{name} of the {kind} {chosen.name} must be a number like {defaults[name]}, not {value!r}"
            )
    return {**defaults, **chosen.settings}
