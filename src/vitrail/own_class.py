"""Classes of the user's own, as YAML and checkpoints hold them: an import path and plain arguments."""

import json
from importlib import import_module
from typing import Any, Protocol, TypeVar

from vitrail.errors import VitrailError

Plain = dict[str, Any]
Base = TypeVar("Base")


class HasPlain(Protocol):
    """A frozen dataclass that can be made again from plain data."""

    def to_plain(self) -> Plain: ...
    @staticmethod
    def from_plain(plain: Plain) -> Any: ...


def path_of(own: type) -> str:
    return f"{own.__module__}.{own.__qualname__}"


def class_at(path: str, base: type[Base], base_name: str, error: type[VitrailError]) -> type[Base]:
    """The class at this path, which extends `base`."""
    module, _, name = path.rpartition(".")
    try:
        own = getattr(import_module(module), name, None)
    except (ImportError, ValueError) as fault:
        raise error(
            f"a recipe or checkpoint names {path}, which cannot be imported here ({fault}): run this in the folder "
            f"where {module.partition('.')[0]}.py is, or name that folder in PYTHONPATH"
        ) from fault
    if not (isinstance(own, type) and issubclass(own, base)):
        raise error(f"a recipe or checkpoint names {path}, and {module} has no such {base_name}")
    return own


def refuse_unplain(own: HasPlain, error: type[VitrailError]) -> None:
    """Refuse an object that could not be made again from a checkpoint."""
    path = own.to_plain()["class_path"]
    try:
        restored = own.from_plain(own.to_plain())
        json.dumps(own.to_plain())
    except TypeError as fault:
        raise error(f"a checkpoint cannot hold the arguments of {path}: {fault}") from fault
    if restored != own:
        raise error(
            f"{path} is not equal to itself rebuilt from its fields: declare all its arguments as fields of a "
            "@dataclass(frozen=True)"
        )
