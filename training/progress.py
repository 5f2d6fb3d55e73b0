"""Progress of a run: a live bar on a terminal, plain lines anywhere else."""

import sys
from time import monotonic
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, LearningRateFinder
from pytorch_lightning.trainer.states import TrainerFn
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vitrail.training.ranks import is_first, print_once
from vitrail.training.throughput import Throughput


class PlainProgress(Callback):
    """One line after every validation."""

    def __init__(self, throughput: Throughput) -> None:
        self.start, self.throughput = monotonic(), throughput

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and trainer.is_global_zero:
            seconds = monotonic() - self.start
            parts = [f"step {trainer.global_step}/{total_steps(trainer)}", metrics_text(trainer), f"{seconds:.0f} s"]
            if (speed := self.throughput.speed) is not None:
                parts.append(str(speed))
            print("  ".join(parts), flush=True)


class LiveProgress(Callback):
    """A bar over all steps, with the metrics of the last validation beside it."""

    def __init__(self, throughput: Throughput) -> None:
        self.throughput = throughput
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.bar = Progress(TextColumn("{task.description}"), *columns, TextColumn("{task.fields[metrics]}"))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.task = self.bar.add_task(TrainerFn(stage).value, total=None, metrics="")
        self.bar.start()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.bar.stop()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.bar.update(self.task, completed=trainer.global_step, total=total_steps(trainer))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        speed = f"  {self.throughput.speed}" if self.throughput.speed else ""
        self.bar.update(self.task, metrics=metrics_text(trainer) + speed)

    def on_test_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.bar.update(self.task, advance=1, total=sum(trainer.num_test_batches))

    def on_predict_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.bar.update(self.task, advance=1, total=sum(trainer.num_predict_batches))


def total_steps(trainer: pl.Trainer) -> int:
    return int(trainer.estimated_stepping_batches)


def metrics_text(trainer: pl.Trainer) -> str:
    """The metrics of the last validation."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
    return "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))


class PrintFoundRate(Callback):
    """Prints the learning rate that a learning rate finder chose."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if any(isinstance(one, LearningRateFinder) for one in trainer.callbacks):  # type: ignore[attr-defined]
            print_once(f"learning rate {pl_module.lr:.3g}, by the learning rate finder")


def progress() -> list[Callback]:
    live = sys.stdout.isatty() and is_first()
    throughput = Throughput()
    return [PrintFoundRate(), throughput, LiveProgress(throughput) if live else PlainProgress(throughput)]
