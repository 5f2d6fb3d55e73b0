"""Run directories: one a training run, with the environment written beside the results."""

import csv
import errno
import fcntl
import io
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment

from vitrail.atomic import write_atomically
from vitrail.errors import UsageError
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


class Metrics(CSVLogger):
    """`metrics.csv`, of which a run that goes on keeps the rows of its checkpoint."""

    def __init__(self, run: Path, kept: int) -> None:
        super().__init__(run.parent, name=run.name, version="")
        self.kept = kept

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = Rows(self.log_dir, self.kept)
        return self._experiment

    @property
    def rows(self) -> int:
        """Written so far, and still to be written."""
        return self._experiment.rows if isinstance(self._experiment, Rows) else self.kept


class Rows(ExperimentWriter):
    """Lightning's would remove the file first."""

    def __init__(self, log_dir: str, kept: int) -> None:
        super().__init__(log_dir)
        self.rows, path = kept, Path(self.metrics_file_path)
        if path.is_file():
            self.metrics_keys = keep_rows(path, kept)

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        self.rows += 1
        super().log_metrics(metrics_dict, step)

    def _check_log_dir_exists(self) -> None:
        """It does, where a run goes on."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """No row is lost, whatever ends the process meanwhile."""
        keep_rows(Path(self.metrics_file_path), None, fieldnames)


def keep_rows(path: Path, count: int | None, columns: Sequence[str] = ()) -> list[str]:
    """Leave out all rows but the first; the names of the columns, which may become more."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        header, kept = list(columns or rows.fieldnames or []), list(islice(rows, count))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, header)
    writer.writeheader()
    writer.writerows(kept)
    write_atomically(path, text.getvalue().encode())
    return header


def loggers(run: Path, chosen: Any = None, steps: int = 0, rows: int = 0) -> list[Any]:
    """`metrics.csv` always, and the given loggers, by default TensorBoard's; false adds none.

    A run that goes on in its folder has trained so many steps, and written so many rows.
    """
    own = Metrics(run, rows)
    if chosen is None or isinstance(chosen, bool):
        from_here: dict[str, Any] = {"purge_step": steps} if steps else {}
        usual = TensorBoardLogger(run.parent, name=run.name, version="", **from_here)
        return [own] if chosen is False else [own, usual]
    return [own, *(chosen if isinstance(chosen, Iterable) else [chosen])]


def lock(run: Path) -> None:
    """Keep a run to this process until it ends, in whatever way; its workers inherit no such lock."""
    run.mkdir(parents=True, exist_ok=True)
    file = os.open(run / ".lock", os.O_CREAT | os.O_WRONLY)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(file)
        if fault.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise UsageError(f"another process trains the run in {run}: wait for it, or choose another --run") from fault


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
