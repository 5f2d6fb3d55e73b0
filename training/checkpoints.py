"""The checkpoints of a run: the best, the last and the one before, written whole or not at all; which one is intact."""

import os
import shutil
import signal
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, Checkpoint, ModelCheckpoint

from vitrail.atomic import draft_of
from vitrail.errors import ModelError
from vitrail.models.checkpoint import damage_of
from vitrail.tasks.training_task import MonitoredMetric
from vitrail.training.progress import total_steps
from vitrail.training.ranks import print_once
from vitrail.training.signals import StopSignals

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"


class WholeFiles(TorchCheckpointIO):
    """A checkpoint replaces its file once all of it is on the disk: whatever ends the process, one of both is there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        content = BytesIO()  # torch reports a full disk as a fault of its own if it writes the file
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with draft_of(Path(path)) as draft, draft.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())


class LastCheckpoint(Checkpoint):
    """`last.ckpt` after every validation, with the one before kept; and at a signal, which ends the run.

    A signal waits for the end of its step, and of the validation or epoch that ends with it, so that the resumed run
    leaves nothing out. `command` goes on with the run.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.folder, self.command, self.signals = folder, command, StopSignals()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning's own handlers are in place by now, and may have received a signal; it restores all in the end."""
        connector = trainer._signal_connector
        if connector.received_sigterm:
            connector.received_sigterm = False
            self.signals.receive(signal.SIGTERM, None)
        self.signals.listen()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if self.signals.were_received(trainer) and is_between_steps(trainer) and not is_whole(trainer):
            trainer._logger_connector.update_train_step_metrics()  # which would come next
            self.save(trainer)
            self.stop(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.save(trainer)
            if self.signals.were_received(trainer):
                self.stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        is_stopped = self.signals.were_received(trainer)
        if is_stopped or not any(trainer.num_val_batches):
            self.save(trainer)
        if is_stopped:
            self.stop(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """With the rows of metrics.csv up to here, which a resumed run continues."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        for logger in trainer.loggers:
            logger.save()
        last = self.folder / LAST
        if trainer.is_global_zero and last.is_file():
            keep(last, self.folder / PREVIOUS)
        trainer.save_checkpoint(last)

    def stop(self, trainer: pl.Trainer) -> None:
        if is_whole(trainer):
            return  # it ends anyway
        self.signals.stop(f"at step {trainer.global_step} of {total_steps(trainer)}", self.command)


def keep(last: Path, previous: Path) -> None:
    """Under another name, as a copy only where the disk knows no hard links."""
    with draft_of(previous) as draft:
        try:
            os.link(last, draft)
        except OSError:
            shutil.copyfile(last, draft)


def is_whole(trainer: pl.Trainer) -> bool:
    """After the last step, or in the last epoch's end."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    epochs = progress.processed
    return 0 <= trainer.max_steps <= trainer.global_step or 0 <= (trainer.max_epochs or -1) <= epochs


def is_between_steps(trainer: pl.Trainer) -> bool:
    """After a batch that completes a step, and that neither a validation nor the end of an epoch follows."""
    loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    assert fetcher is not None
    follows = loop._num_ready_batches_reached() or loop._should_check_val_fx(fetcher)
    return not follows and not loop._should_accumulate()


class BestOfLogged(ModelCheckpoint):
    """The best by what the first validation logs: a loss, else an accuracy; a run that logs neither has no best."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.monitor is None and not trainer.sanity_checking:
            self.choose(monitored_among(trainer.callback_metrics))
        if self.monitor is not None:
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.monitor is not None:
            super().on_train_epoch_end(trainer, pl_module)

    def choose(self, metric: MonitoredMetric | None) -> None:
        if metric is not None:
            self.monitor, self.mode = metric.name, metric.mode
            self.kth_value = torch.tensor(torch.inf if metric.mode == "min" else -torch.inf)

    @property
    def state_key(self) -> str:
        """Lightning's names the metric, which a run that goes on does not know yet."""
        return type(self).__name__

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mode": self.mode}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["monitor"] is not None:
            self.choose(MonitoredMetric(state_dict["monitor"], state_dict["mode"]))
        super().load_state_dict(state_dict)


def monitored_among(metrics: Iterable[str]) -> MonitoredMetric | None:
    """A metric of validation that says which of two checkpoints is better."""
    of_validation = sorted(name for name in metrics if name.startswith("val"))
    for word, mode in (("loss", "min"), ("acc", "max")):
        for name in of_validation:
            if word in name:
                return MonitoredMetric(name, mode)
    return None


def checkpoints(folder: Path, command: str, monitored: MonitoredMetric | None) -> list[Callback]:
    """`best` by a validation metric, and `last` for resuming the run."""
    options: dict[str, Any] = {"filename": BEST.removesuffix(".ckpt"), "enable_version_counter": False}
    if monitored is None:
        best: ModelCheckpoint = BestOfLogged(folder, **options)
    else:
        best = ModelCheckpoint(folder, monitor=monitored.name, mode=monitored.mode, **options)
    return [best, LastCheckpoint(folder, command)]


def newest_intact(folder: Path) -> Path | None:
    """The checkpoint to go on from, if the run has any; damaged ones are named."""
    there = [path for path in (folder / name for name in (LAST, PREVIOUS, BEST)) if path.is_file()]
    for path in there:
        if damage_of(path) is None:
            return path
        print_once(f"{path} is damaged, so the run goes on from the checkpoint before")
    if there:
        raise ModelError(f"no checkpoint in {folder} is intact: remove them to begin the run again")
    return None
