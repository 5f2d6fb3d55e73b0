"""An architecture: plain data that makes a network; kept in checkpoints, so that the network can be made again."""

import json
import os
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

from torch import nn

from vitrail.errors import ModelError
from vitrail.tasks.task import TaskName

ROOM = "vitrail.models"


@dataclass(frozen=True)
class Architecture(ABC):
    """What every architecture shares: a name in timm where it has one, and weights to start from.

    Args:
        name: a network of timm; it then decides all sizes by itself.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead; without a name,
            the path of another run's checkpoint.
    """

    name: str | None = None
    pretrained: bool | str = False

    @abstractmethod
    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        """A network from pixels [B, 3, image_size, image_size] to logits [B, classes].

        For `values` it answers with so many of them, [B, classes]; for `places` with logits [B, h, w, classes].
        """

    def to_plain(self) -> dict[str, Any]:
        """The same two keys that choose an architecture in YAML."""
        return {"class_path": path_of(type(self)), "init_args": asdict(self)}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Architecture":
        path, arguments = plain["class_path"], plain["init_args"]
        if path.rpartition(".")[0] == ROOM:
            own: Architecture = getattr(import_module(ROOM), path.rpartition(".")[2])(**arguments)
            return own
        try:
            return class_at(path)(**arguments)
        except TypeError as fault:
            raise ModelError(f"{path} cannot be made again from what a checkpoint holds of it: {fault}") from fault

    @property
    def run_it_starts_from(self) -> str | None:
        """The checkpoint of another run whose weights it takes, if it takes any."""
        return self.pretrained if isinstance(self.pretrained, str) and self.name is None else None

    def untrained(self) -> "Architecture":
        """The same without weights to start from: two architectures are one if these are equal."""
        return replace(self, pretrained=False)

    def check_plain(self) -> None:
        """Refuse, before training, what could not be made again from a checkpoint."""
        path = path_of(type(self))
        try:
            kept = self.from_plain(self.to_plain())
            json.dumps(self.to_plain())
        except TypeError as fault:
            raise ModelError(f"a checkpoint cannot hold the arguments of {path}: {fault}") from fault
        if kept != self:
            raise ModelError(
                f"{path} is not the same when made from its fields again: declare all its arguments as fields of a "
                "@dataclass(frozen=True)"
            )


def path_of(architecture: type[Architecture]) -> str:
    """What YAML and checkpoints call a class: those of vitrail by the folder, others by the module that they are in."""
    name = architecture.__qualname__
    room = ROOM if getattr(import_module(ROOM), name, None) is architecture else architecture.__module__
    return f"{room}.{name}"


def class_at(path: str) -> type[Architecture]:
    """The user's own class that a checkpoint names."""
    room, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(room), name, None)
    except (ImportError, ValueError) as fault:
        raise ModelError(
            f"the network is of {path}, which cannot be imported here ({fault}): run this in the folder where "
            f"{room.partition('.')[0]}.py is, or name that folder in PYTHONPATH"
        ) from fault
    if not (isinstance(found, type) and issubclass(found, Architecture)):
        raise ModelError(f"the network is of {path}, and {room} has no such vitrail.models.Architecture")
    return found


def import_from_current_folder() -> None:
    """Let class paths name modules in the current folder, as `python -m` does; installed ones are found before them."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
