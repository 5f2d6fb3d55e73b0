"""An architecture: plain data that builds a network; checkpoints store it, so that the network can be built again."""

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

MODULE = "vitrail.models"


@dataclass(frozen=True)
class Architecture(ABC):
    """What every architecture shares: an optional name in timm, and weights to start from.

    Args:
        name: a network of timm, which decides all sizes.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead; without a name,
            the path of another run's checkpoint.
    """

    name: str | None = None
    pretrained: bool | str = False

    @abstractmethod
    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        """A network from pixels [B, 3, image_size, image_size] to logits [B, classes].

        For regression the outputs are values, [B, classes]; for dense tasks logits [B, h, w, classes].
        """

    def to_plain(self) -> dict[str, Any]:
        """The two keys that choose an architecture in YAML."""
        return {"class_path": path_of(type(self)), "init_args": asdict(self)}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Architecture":
        path, arguments = plain["class_path"], plain["init_args"]
        if path.rpartition(".")[0] == MODULE:
            own: Architecture = getattr(import_module(MODULE), path.rpartition(".")[2])(**arguments)
            return own
        try:
            return class_at(path)(**arguments)
        except TypeError as fault:
            raise ModelError(f"{path} cannot be built from the arguments in a checkpoint: {fault}") from fault

    @property
    def run_it_starts_from(self) -> str | None:
        """The checkpoint of another run whose weights it starts from, if any."""
        return self.pretrained if isinstance(self.pretrained, str) and self.name is None else None

    def untrained(self) -> "Architecture":
        """The same without weights to start from; equal for two runs of the same network."""
        return replace(self, pretrained=False)

    def check_plain(self) -> None:
        """Refuse, before training, an architecture that could not be built again from a checkpoint."""
        path = path_of(type(self))
        try:
            restored = self.from_plain(self.to_plain())
            json.dumps(self.to_plain())
        except TypeError as fault:
            raise ModelError(f"a checkpoint cannot hold the arguments of {path}: {fault}") from fault
        if restored != self:
            raise ModelError(
                f"{path} is not equal to itself rebuilt from its fields: declare all its arguments as fields of a "
                "@dataclass(frozen=True)"
            )


def path_of(architecture: type[Architecture]) -> str:
    """The name of a class in YAML and checkpoints: those of vitrail by the package, others by their module."""
    name = architecture.__qualname__
    module = MODULE if getattr(import_module(MODULE), name, None) is architecture else architecture.__module__
    return f"{module}.{name}"


def class_at(path: str) -> type[Architecture]:
    """The user's own class that a checkpoint names."""
    module, _, name = path.rpartition(".")
    try:
        architecture = getattr(import_module(module), name, None)
    except (ImportError, ValueError) as fault:
        raise ModelError(
            f"the network is of {path}, which cannot be imported here ({fault}): run this in the folder where "
            f"{module.partition('.')[0]}.py is, or name that folder in PYTHONPATH"
        ) from fault
    if not (isinstance(architecture, type) and issubclass(architecture, Architecture)):
        raise ModelError(f"the network is of {path}, and {module} has no such vitrail.models.Architecture")
    return architecture


def import_from_current_folder() -> None:
    """Let class paths name modules in the current folder, as `python -m` does; installed ones are found before them."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
