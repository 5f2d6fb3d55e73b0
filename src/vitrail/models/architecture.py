"""An architecture: plain data that makes a network; kept in checkpoints, so that the network can be made again."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

from torch import nn

from vitrail.card import TaskName
from vitrail.errors import ModelError

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
        return {"class_path": f"{ROOM}.{type(self).__name__}", "init_args": asdict(self)}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Architecture":
        room, _, name = plain["class_path"].rpartition(".")
        if room != ROOM:
            raise ModelError(f"the checkpoint names {plain['class_path']}, which is no architecture of vitrail")
        architecture: Architecture = getattr(import_module(ROOM), name)(**plain["init_args"])
        return architecture

    @property
    def run_it_starts_from(self) -> str | None:
        """The checkpoint of another run whose weights it takes, if it takes any."""
        return self.pretrained if isinstance(self.pretrained, str) and self.name is None else None

    def untrained(self) -> "Architecture":
        """The same without weights to start from: two architectures are one if these are equal."""
        return replace(self, pretrained=False)
