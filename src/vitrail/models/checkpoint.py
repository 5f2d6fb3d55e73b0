"""A checkpoint: weights, and as plain data everything needed to use them elsewhere."""

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitrail.atomic import write_atomically
from vitrail.data.record import Record
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS, Part, Source
from vitrail.errors import ModelError
from vitrail.images.canvas import InputRule
from vitrail.models.architecture import Architecture
from vitrail.tasks.task import TaskName

KEY = "vitrail"
PREFIX = "net."
COMPILED = "_orig_mod."  # what torch.compile puts before each name
AVERAGED = (
    "current_model_state"  # where Lightning's averaging keeps the raw weights, the averaged ones taking their place
)
NO_NETWORK = "vitrail_no_network"  # in a checkpoint of a module of the user's own: why, or where the network is
FORMAT = 1
ZIP = b"PK\x03\x04"  # the first bytes of a checkpoint


@dataclass(frozen=True)
class RunData:
    """The data of a run: enough to open the same source, select the same images and verify that they are the same."""

    selection: Selection
    name: str
    fingerprint: str
    record: Record

    def count(self, part: Part) -> int:
        return len(self.record.parts[part])

    def refuse_seen(self, source: Source, selection: Selection, parts: Iterable[Part]) -> None:
        """Refuse another set whose parts hold images that the run trained or validated on: see `Record`."""
        self.record.refuse_seen({part: selection.contents(source, part) for part in parts})

    def refuse_contradiction(self, source: Source, selection: Selection, parts: Iterable[Part]) -> None:
        """Refuse a source whose parts are not those of the run: see `Record`."""
        here = {part: selection.contents(source, part) for part in parts}
        self.record.refuse_contradiction(here, selection.why_not(self.selection))

    def to_plain(self) -> dict[str, Any]:
        """The record as tensors: they load with `weights_only=True` and take 16 bytes an image."""
        keys: dict[str, NDArray[np.int64]] = {"earlier": self.record.earlier}
        keys |= {part: self.record.parts[part] for part in PARTS}
        return {
            "selection": asdict(self.selection),
            "name": self.name,
            "fingerprint": self.fingerprint,
            "record": {part: torch.from_numpy(array) for part, array in keys.items()},
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "RunData":
        keys = {part: array.cpu().numpy() for part, array in plain["record"].items()}
        return cls(
            Selection(**plain["selection"]),
            plain["name"],
            plain["fingerprint"],
            Record({part: keys[part] for part in PARTS}, keys["earlier"]),
        )


@dataclass(frozen=True)
class Origin:
    """What a checkpoint holds beside its weights."""

    architecture: Architecture
    input: InputRule
    classes: tuple[str, ...]
    run_data: RunData
    seed: int
    task: TaskName = "classification"
    averaged: bool = False  # whether the weights are averages over training steps
    teacher: str | None = None  # the SHA-256 of the checkpoint that the run was distilled from

    def to_plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "architecture": self.architecture.to_plain(),
            "input": asdict(self.input) | {"mean": list(self.input.mean), "std": list(self.input.std)},
            "classes": list(self.classes),
            "run_data": self.run_data.to_plain(),
            "seed": self.seed,
            "task": self.task,
            "averaged": self.averaged,
            "teacher": self.teacher,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Origin":
        if plain.get("format") != FORMAT:
            raise ModelError(
                f"the checkpoint has format {plain.get('format')}, this vitrail reads format {FORMAT}: "
                "train again, or install the vitrail that wrote it"
            )
        return cls(
            architecture=Architecture.from_plain(plain["architecture"]),
            input=InputRule(**plain["input"]),
            classes=tuple(plain["classes"]),
            run_data=RunData.from_plain(plain["run_data"]),
            seed=plain["seed"],
            task=plain.get("task", "classification"),
            averaged=plain.get("averaged", False),
            teacher=plain.get("teacher"),
        )

    def refuse_without_classes(self, path: str | Path) -> None:
        """Refuse a pretrained network where its predictions are needed."""
        if not self.classes:
            raise ModelError(
                f"{path} was pretrained without labels and predicts no class: start a run from its weights, "
                f"vitrail fit --model.net.pretrained {path}"
            )


def write_checkpoint(path: Path, origin: Origin, network: nn.Module) -> None:
    """The weights of a network as `vitrail fit` stores them, without the state of training."""
    weights = {f"{PREFIX}{name}": value.cpu() for name, value in network.state_dict().items()}
    of_lightning = {"pytorch-lightning_version": version("pytorch-lightning"), "epoch": 0, "global_step": 0}
    file = io.BytesIO()  # torch reports a full disk as a fault of its own if it writes the file
    torch.save({"state_dict": weights, KEY: origin.to_plain(), **of_lightning}, file)
    write_atomically(path, file.getvalue())


def load_checkpoint(path: str | Path) -> tuple[Origin, dict[str, Tensor]]:
    """The origin and the network's weights; any other file is refused."""
    if not Path(path).is_file():
        raise ModelError(f"there is no checkpoint at {path}")
    if (damage := damage_of(Path(path))) is not None:
        raise ModelError(f"{path} is damaged: {damage}{intact_beside(Path(path))}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if NO_NETWORK in content:
            raise ModelError(f"{path} is of a module of one's own: {content[NO_NETWORK]}")
        origin = Origin.from_plain(content[KEY])
        weights = content["state_dict"].items()
    except (UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, AttributeError) as fault:
        raise ModelError(f"{path} is not a checkpoint written by `vitrail fit`") from fault
    origin = replace(origin, averaged=origin.averaged or AVERAGED in content)
    plain = {key.replace(COMPILED, ""): value for key, value in weights}
    return origin, {key.removeprefix(PREFIX): value for key, value in plain.items() if key.startswith(PREFIX)}


def damage_of(path: Path) -> str | None:
    """What is wrong with the bytes of a checkpoint, which torch reads without comparing them with their checksums."""
    file = path.stat()
    return damage_found(path, file.st_size, file.st_mtime_ns)


@lru_cache(maxsize=8)
def damage_found(path: Path, size: int, time: int) -> str | None:
    """Reads the whole file, so once for a command."""
    try:
        with ZipFile(path) as archive:
            changed = archive.testzip()
    except BadZipFile:
        with path.open("rb") as file:
            return "its end is missing" if file.read(len(ZIP)) == ZIP else None  # else it never was one
    except OSError as fault:
        return str(fault.strerror)
    return None if changed is None else f"{changed} in it is not what was written"


def intact_beside(path: Path) -> str:
    """The newest of the other checkpoints in its folder, for a message."""
    others = sorted(path.parent.glob("*.ckpt"), key=lambda one: -one.stat().st_mtime)
    whole = next((one for one in others if one.name != path.name and damage_of(one) is None), None)
    return "" if whole is None else f"; the one before, {whole}, is intact"


def read_checkpoint(path: str | Path) -> tuple[nn.Module, Origin]:
    """The network of a checkpoint, in eval mode, and its origin."""
    origin, weights = load_checkpoint(path)
    network = origin.architecture.untrained().build_for(origin.input, len(origin.classes), origin.task)
    try:
        network.load_state_dict(weights)
    except RuntimeError as fault:
        raise ModelError(
            f"the weights in {path} do not fit its architecture: the file was changed, or written with another "
            f"timm than the {version('timm')} here"
        ) from fault
    return network.eval(), origin
