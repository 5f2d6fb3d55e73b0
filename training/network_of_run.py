"""The network of a run of the user's own module, written as a run of vitrail's: what test, export and compare read."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from torch import nn

from vitrail.atomic import write_atomically
from vitrail.errors import UsageError, VitrailError, first_line
from vitrail.models.checkpoint import Origin, write_checkpoint
from vitrail.models.own_network import Called, OwnNetwork, logits_of_noise
from vitrail.own_class import Plain, path_of
from vitrail.training.checkpoints import BEST
from vitrail.training.pixel_data_module import PixelDataModule


def place_of(run: Path) -> Path:
    return run / "network" / BEST


def why_none(module: pl.LightningModule, data: pl.LightningDataModule | None) -> str | None:
    """Why a module and its data have no network that vitrail could test and export, if so."""
    kind = path_of(type(module))
    if not isinstance(data, PixelDataModule):
        return f"{kind} is trained on batches of its own, and a model file takes images"
    if data.rule.is_native:
        return f"{kind} is trained on sets of vectors, with which only vitrail's own networks are exported"
    try:
        logits_of_noise(module, data.class_count, data.rule.size)
    except UsageError as fault:
        return str(fault)
    return None


def write_network(
    run: Path, settings: Plain, module: pl.LightningModule, data: PixelDataModule, checkpoint: Path
) -> str | None:
    """The network of a checkpoint with the settings that it is tested with; or why it cannot be made again."""
    given = settings["model"]
    architecture = OwnNetwork(network=given["class_path"], arguments=given.get("init_args") or {})
    try:
        architecture.check_plain()
        network = architecture.build(data.class_count, data.rule.size, data.task)
        load(network, module.state_dict())
        if not torch.equal(outputs(network, data), outputs(module, data)):
            return "it gives other outputs when it is made again from its arguments"
        load(network, torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"])
    except (VitrailError, RuntimeError) as fault:
        return first_line(fault)
    place = place_of(run)
    place.parent.mkdir(exist_ok=True)
    origin = Origin(architecture, data.input.rule, data.classes, data.run_data, torch.initial_seed(), data.task)
    write_checkpoint(place, origin, network)
    recipe = {"model": {"net": architecture.to_plain()}, "data": settings["data"]}
    write_atomically(place.parent / "config.yaml", yaml.safe_dump(recipe, sort_keys=False).encode())
    return None


def load(network: nn.Module, weights: dict[str, Any]) -> None:
    (network.network if isinstance(network, Called) else network).load_state_dict(weights)


def outputs(network: nn.Module, data: PixelDataModule) -> torch.Tensor:
    return logits_of_noise(network, data.class_count, data.rule.size)
