"""A checkpoint as vitrail keeps it: weights, and in plain data everything needed to use them elsewhere."""

from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.card import InputRule
from vitrail.errors import ModelError
from vitrail.models.architecture import Architecture

KEY = "vitrail"
PREFIX = "net."


@dataclass(frozen=True)
class Learnt:
    """Where the pictures were and how many were used: enough to open the same source again."""

    path: str
    seed: int
    name: str
    fingerprint: str
    train: int
    val: int


@dataclass(frozen=True)
class Origin:
    """What a checkpoint says beside its weights."""

    architecture: Architecture
    input: InputRule
    classes: tuple[str, ...]
    learnt: Learnt
    seed: int

    def to_plain(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.to_plain(),
            "input": asdict(self.input) | {"mean": list(self.input.mean), "std": list(self.input.std)},
            "classes": list(self.classes),
            "learnt": asdict(self.learnt),
            "seed": self.seed,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Origin":
        return cls(
            architecture=Architecture.from_plain(plain["architecture"]),
            input=InputRule(**plain["input"]),
            classes=tuple(plain["classes"]),
            learnt=Learnt(**plain["learnt"]),
            seed=plain["seed"],
        )


def load_checkpoint(path: str | Path) -> tuple[Origin, dict[str, Tensor]]:
    """What a checkpoint says of itself, and its network's weights; any other file is refused."""
    if not Path(path).is_file():
        raise ModelError(f"there is no checkpoint at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        origin = Origin.from_plain(content[KEY])
        weights = content["state_dict"].items()
    except (UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as fault:
        raise ModelError(f"{path} is not a checkpoint written by `vitrail fit`") from fault
    return origin, {key.removeprefix(PREFIX): value for key, value in weights if key.startswith(PREFIX)}


def read_checkpoint(path: str | Path) -> tuple[nn.Module, Origin]:
    """The network of a checkpoint, in eval mode, and where it came from."""
    origin, weights = load_checkpoint(path)
    network = origin.architecture.untrained().build(len(origin.classes), origin.input.size)
    network.load_state_dict(weights)
    return network.eval(), origin
