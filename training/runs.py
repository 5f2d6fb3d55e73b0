"""Run directories: one a training run, with the environment written beside the results."""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from vitrail.atomic import write_atomically
from vitrail.runtime.machine import cpu_name, installed_versions

RUNS = Path("runs")
PACKAGES = ("vitrail", "torch", "torchvision", "timm", "pytorch-lightning", "numpy", "pillow")


def new_run(name: str) -> Path:
    """An unused folder below `runs`."""
    path, number = RUNS / name, 1
    while path.exists():
        number += 1
        path = RUNS / f"{name}-{number}"
    return path


def run_of_checkpoint(checkpoint: str | Path) -> Path:
    """The run directory of a checkpoint; otherwise the folder that the checkpoint is in."""
    folder = Path(checkpoint).resolve().parent
    return folder.parent if folder.name == "checkpoints" else folder


def checkpoints(run: Path, metric: str = "val_accuracy", mode: str = "max") -> list[Callback]:
    """`best` by a validation metric, and `last` for resuming the run."""
    folder = run / "checkpoints"
    return [
        ModelCheckpoint(folder, filename="best", monitor=metric, mode=mode, enable_version_counter=False),
        ModelCheckpoint(folder, filename="last", save_top_k=1, monitor=None, enable_version_counter=False),
    ]


def loggers(run: Path, chosen: Any = None) -> list[Any]:
    """`metrics.csv` always, and the given loggers, by default TensorBoard's; false adds none."""
    own, usual = (logger(run.parent, name=run.name, version="") for logger in (CSVLogger, TensorBoardLogger))
    if chosen is None or isinstance(chosen, bool):
        return [own] if chosen is False else [own, usual]
    return [own, *(chosen if isinstance(chosen, Iterable) else [chosen])]


def bare_trainer(callbacks: list[Callback], **options: Any) -> pl.Trainer:
    """Without loggers, bars and files, which can take longer than a step of a small network."""
    return pl.Trainer(
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def environment() -> dict[str, Any]:
    """What the results of a run depend on beside its configuration."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "versions": installed_versions(PACKAGES),
        "machine": platform.machine(),
        "processor": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "seed": torch.initial_seed(),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
