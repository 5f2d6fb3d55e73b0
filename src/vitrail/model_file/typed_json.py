"""Dataclasses from JSON, read by their types; and the JSON Schema of a card."""

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vitrail.errors import ModelError

Json = dict[str, Any]
C = TypeVar("C")

SCALARS: dict[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("boolean", (bool,)),
    float: ("number", (float, int)),
    int: ("integer", (int,)),
    str: ("string", (str,)),
}


class Unreadable(Exception):
    """A part of a card that is not what its type says."""


def read_card(kind: type[C], text: str, name: str) -> C:
    """A card of this format; members that are not known are ignored, members with a default may be absent."""
    (known,) = get_args(get_type_hints(kind)["format"])
    try:
        plain = expect(json.loads(text), dict, "an object", "it")
        if plain.get("format", known) != known:
            raise ModelError(
                f"{name} has format {plain['format']}, this vitrail reads format {known}: "
                "export the model again, or install the vitrail that wrote it"
            )
        card: C = read(kind, plain, "")
    except (ValueError, Unreadable) as fault:
        raise ModelError(f"{name} cannot be read ({fault}): export the model again") from fault
    return card


def read(kind: Any, plain: Any, path: str) -> Any:
    """JSON as a value of this type; `path` names it in errors."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return read(parts[0], plain, path)
    if is_dataclass(kind):
        return read_members(kind, plain, path)
    if origin is Literal:
        if plain not in parts:
            raise ModelError(
                f"the card's {path} is '{plain}', which this vitrail does not know: install a newer vitrail"
            )
        return plain
    if origin in (Union, UnionType):
        (some,) = (part for part in parts if part is not NoneType)
        return None if plain is None else read(some, plain, path)
    if origin is tuple:
        items = expect(plain, list, "an array", path)
        if parts[-1] is not Ellipsis and len(items) != len(parts):
            raise Unreadable(f"{path} has {len(items)} items, not {len(parts)}")
        return tuple(read(parts[0], item, f"{path}[{index}]") for index, item in enumerate(items))
    if origin is dict:
        members = expect(plain, dict, "an object", path)
        return {key: read(parts[1], value, f"{path}.{key}") for key, value in members.items()}
    if kind is Any:
        return plain
    name, accepted = SCALARS[kind]
    if not isinstance(plain, accepted) or (isinstance(plain, bool) and kind is not bool):
        raise Unreadable(f"{path} is not a JSON {name}")
    return plain


def read_members(kind: Any, plain: Any, path: str) -> Any:
    members, hints = expect(plain, dict, "an object", path), hints_of(kind)
    values = {}
    for field in fields(kind):
        inside = f"{path}.{field.name}" if path else field.name
        if field.name in members:
            values[field.name] = read(hints[field.name], members[field.name], inside)
        elif is_required(field):
            raise Unreadable(f"{inside} is missing")
    return kind(**values)


def expect(plain: Any, kind: type[C], name: str, path: str) -> C:
    if not isinstance(plain, kind):
        raise Unreadable(f"{path} is not {name}")
    return plain


def schema(kind: Any, title: str) -> Json:
    """The JSON Schema of a card and of all parts in it."""
    parts = definitions(kind, "#/$defs/")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **parts.pop(kind.__name__),
        "$defs": parts,
    }


def definitions(kind: Any, prefix: str) -> dict[str, Json]:
    """A schema for each dataclass in `kind`, by name; they refer to each other below `prefix`."""
    found: dict[str, Json] = {}

    def of(kind: Any) -> Json:
        origin, parts = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return {**of(parts[0]), "description": parts[1]}
        if is_dataclass(kind):
            name = kind.__name__  # type: ignore[union-attr]
            if name not in found:
                found[name] = {}  # known before its members are looked at
                found[name] = members_of(kind)
            return {"$ref": prefix + name}
        if origin is Literal:
            return {"enum": list(parts)} if len(parts) > 1 else {"const": parts[0]}
        if origin in (Union, UnionType):
            return {"anyOf": [of(part) for part in parts]}
        if origin is tuple:
            sides = {} if parts[-1] is Ellipsis else {"minItems": len(parts), "maxItems": len(parts)}
            return {"type": "array", "items": of(parts[0]), **sides}
        if origin is dict:
            return {"type": "object", "additionalProperties": of(parts[1])}
        if kind is Any:
            return {}
        return {"type": "null" if kind is NoneType else SCALARS[kind][0]}

    def members_of(kind: Any) -> Json:
        hints = hints_of(kind)
        return {
            "type": "object",
            "description": " ".join(kind.__doc__.split()),
            "required": [field.name for field in fields(kind) if is_required(field)],
            "properties": {field.name: of(hints[field.name]) for field in fields(kind)},
        }

    of(kind)
    return found


def is_required(field: "Field[Any]") -> bool:
    return field.name == "format" or (field.default is MISSING and field.default_factory is MISSING)


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)
