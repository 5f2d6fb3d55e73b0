"""An architecture: plain data that builds a network; checkpoints store it, so that the network can be built again."""

import os
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

from torch import nn

from vitrail import own_class
from vitrail.errors import ModelError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.own_class import class_at, refuse_unplain
from vitrail.tasks.task import TaskName

MODULE = "vitrail.models"


@dataclass(frozen=True)
class Architecture(ABC):
    """What every architecture shares: an optional name in timm, and weights to start from.

    Args:
        name: a network of timm, which decides all sizes.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead, and
            hf-hub:USER/REPOSITORY from the Hugging Face Hub; or the path of another run's checkpoint, a file of the
            name .ckpt.
    """

    name: str | None = None
    pretrained: bool | str = False

    @abstractmethod
    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        """A network from pixels [B, 3, image_size, image_size] to logits [B, classes].

        For regression the outputs are values, [B, classes]; for dense tasks either of each cell, [B, h, w, classes];
        for sequences logits [B, places, classes + 1], the end last.
        """

    def build_for(self, rule: InputRule, classes: int, task: TaskName = "classification") -> nn.Module:
        """The network for the canvases of a rule: squares, unless the architecture takes images at their own shapes."""
        if rule.is_native:
            raise UsageError(
                f"{type(self).__name__} takes squares, and --data.resize native keeps the shapes of images: choose "
                "vitrail.models.ViT, or another --data.resize"
            )
        return self.build(classes, rule.size, task)

    def to_plain(self) -> dict[str, Any]:
        """The two keys that choose an architecture in YAML."""
        return {"class_path": path_of(type(self)), "init_args": asdict(self)}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Architecture":
        path, arguments = plain["class_path"], plain["init_args"]
        if path.rpartition(".")[0] == MODULE:
            own: Architecture = getattr(import_module(MODULE), path.rpartition(".")[2])(**arguments)
            return own
        own_networks = import_module(f"{MODULE}.own_network")
        if own_networks.is_network(path):
            return own_networks.OwnNetwork(network=path, arguments=arguments)  # type: ignore[no-any-return]
        try:
            made = class_at(path, Architecture, f"{MODULE}.Architecture", ModelError)  # type: ignore[type-abstract]
            return made(**arguments)
        except TypeError as fault:
            raise ModelError(f"{path} cannot be built from the arguments in a checkpoint: {fault}") from fault

    @property
    def run_it_starts_from(self) -> str | None:
        """The checkpoint of another run whose weights it starts from, if any."""
        path = self.pretrained
        return path if isinstance(path, str) and (self.name is None or path.endswith(".ckpt")) else None

    @property
    def timm_weights(self) -> bool | str:
        """The weights of `name` to start from: timm's, those in a file of timm, or none."""
        return False if self.run_it_starts_from else self.pretrained

    def untrained(self) -> "Architecture":
        """The same without weights to start from; equal for two runs of the same network."""
        return replace(self, pretrained=False)

    def check_plain(self) -> None:
        """Refuse, before training, an architecture that could not be built again from a checkpoint."""
        refuse_unplain(self, ModelError)


def path_of(architecture: type[Architecture]) -> str:
    """The name of a class in YAML and checkpoints: those of vitrail by the package, others by their module."""
    name = architecture.__qualname__
    is_ours = getattr(import_module(MODULE), name, None) is architecture
    return f"{MODULE}.{name}" if is_ours else own_class.path_of(architecture)


def import_from_current_folder() -> None:
    """Let class paths name modules in the current folder, as `python -m` does; installed ones are found before them."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
