"""A component as YAML names it: a name, or a name with settings, {name: window, reach: 3}."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from vitrail.errors import UsageError

# jsonargparse parses a command-line value as the first of these types that fits.
Setting = int | float | list[int] | str
ComponentSpec = str | dict[str, Setting]


@dataclass(frozen=True)
class Component:
    name: str
    settings: dict[str, Setting] = field(default_factory=dict)


def parse_component(kind: str, spec: ComponentSpec, known: Iterable[str]) -> Component:
    """Refuses an unknown name, and lists the known ones."""
    given: dict[str, Setting] = {"name": spec} if isinstance(spec, str) else dict(spec)
    names = list(known)
    if "name" not in given:
        raise UsageError(f"which {kind}? {given} has no name; there is {', '.join(names)}")
    name = given.pop("name")
    if not isinstance(name, str) or name not in names:
        near = get_close_matches(str(name), names, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"there is no {kind} '{name}'{hint}; there is {', '.join(names)}")
    return Component(name, given)


def settings_of(
    kind: str, component: Component, defaults: Mapping[str, Setting], by_head: Collection[str] = ()
) -> dict[str, Any]:
    """All settings of a component, with defaults for those that are not given; those `by_head` may be lists."""
    for name, value in component.settings.items():
        if name not in defaults:
            has = f"; it has {', '.join(defaults)}" if defaults else ", nor any other setting"
            raise UsageError(f"the {kind} {component.name} has no setting '{name}'{has}")
        default = defaults[name]
        types = (int, float) if isinstance(default, float) else type(default)
        values = value if isinstance(value, list) and value and name in by_head else [value]
        if any(isinstance(one, bool) or not isinstance(one, types) for one in values):
            like = "a name" if isinstance(default, str) else f"a number like {default}"
            like += ", or a list with one for each head" if name in by_head else ""
            raise UsageError(f"{name} of the {kind} {component.name} must be {like}, not {value!r}")
    return {**defaults, **component.settings}
