"""What Lightning leaves out, so that a resumed run equals an uninterrupted one to the last bit."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader

from vitrail.training.batches import SeededOrder
from vitrail.training.runs import Metrics
from vitrail.training.signals import leave_to_trainer

KEY = "vitrail_exact"


class ExactResume(Callback):
    """Random numbers, the gradients of a step that takes several batches, rows of metrics.csv, and the end of an epoch.

    Dropout and drop path draw from torch's generators; order and augmentation of images depend on seed and epoch alone,
    and so does the order of loaders of the user's own.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[KEY] = {
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "rows": next((one.rows for one in trainer.loggers if isinstance(one, Metrics)), 0),
            "gradients": gradients(pl_module) if trainer.world_size == 1 and is_within_a_step(trainer) else {},
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.stored = checkpoint.get(KEY)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.fit_loop.restarted_on_epoch_end:
            begin_next_epoch(trainer.fit_loop)
        begin_own_loaders(trainer)
        if self.stored is None:
            return
        go_on_within_epoch(trainer)
        torch.set_rng_state(self.stored["random"].cpu())
        if torch.cuda.device_count() == len(self.stored["random_cuda"]):
            torch.cuda.set_rng_state_all([one.cpu() for one in self.stored["random_cuda"]])
        for name, gradient in self.stored["gradients"].items():
            parameter = pl_module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning begins the loaders after it, but those of the first epoch before training."""
        for loader in own_loaders(trainer):
            seed(loader, trainer.current_epoch)

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """The step in metrics.csv, which Lightning counts once too often for some checkpoints."""
        if self.stored is not None:
            self.stored, trainer.fit_loop.epoch_loop._batches_that_stepped = None, trainer.global_step


def begin_next_epoch(loop: Any) -> None:
    """Where `max_steps` is the length of a run, Lightning would count an epoch without batches first."""
    loop.epoch_progress.increment_completed()
    for each in (loop, loop.epoch_loop):
        each._restarting = False  # its setter takes no False here
        each.reset_restart_stage()


def go_on_within_epoch(trainer: pl.Trainer) -> None:
    """Fetch the batches of the epoch that are left; Lightning would begin it again."""
    loop: Any = trainer.fit_loop
    trained, epoch = loop.epoch_loop.batch_progress.current.processed, loop.epoch_progress.current.processed
    is_within = trained < trainer.num_training_batches
    for loader in loop._combined_loader.flattened:
        if isinstance(order := sampler_of(loader), SeededOrder):
            order.go_on(epoch, trained * loader.batch_size if is_within else 0)
            iter(loop._data_fetcher)
    if own_loaders(trainer):  # which know no place to go on from
        for _ in range(trained if is_within else 0):
            next(loop._data_fetcher)
        loop._data_fetcher.fetched = 0  # Lightning adds those of before


def own_loaders(trainer: pl.Trainer) -> list[Any]:
    """Those of the user, whose order is not ours; several processes divide them in Lightning's way."""
    loader: Any = trainer.fit_loop._combined_loader
    ours = trainer.world_size > 1 or loader is None
    return [] if ours else [one for one in loader.flattened if not isinstance(sampler_of(one), SeededOrder)]


def sampler_of(loader: Any) -> Any:
    return getattr(loader, "sampler", None)


def begin_own_loaders(trainer: pl.Trainer) -> None:
    """Begin the epoch again, in an order that depends on seed and epoch alone."""
    loop: Any = trainer.fit_loop
    if loaders := own_loaders(trainer):
        for loader in loaders:
            seed(loader, loop.epoch_progress.current.processed)
        iter(loop._data_fetcher)


class OfEpoch(torch.Generator):
    """In a loader of the user that has no generator of its own."""


def seed(loader: Any, epoch: int) -> None:
    """What shuffles, and what seeds workers, which leave signals to this process."""
    if isinstance(loader, DataLoader) and loader.worker_init_fn is None:
        loader.worker_init_fn = leave_to_trainer
    if not isinstance(loader, DataLoader):
        return
    places: tuple[Any, ...] = (loader, loader.sampler)
    for one in places:
        if isinstance(getattr(one, "generator", one), OfEpoch | None):  # none of the user's own
            one.generator = OfEpoch().manual_seed(torch.initial_seed() + epoch)


def is_within_a_step(trainer: pl.Trainer) -> bool:
    """Whether gradients of further batches are still to be added."""
    return trainer.accumulate_grad_batches > 1 and trainer.fit_loop._should_accumulate()


def gradients(module: pl.LightningModule) -> dict[str, torch.Tensor]:
    return {name: one.grad for name, one in module.named_parameters() if one.grad is not None}
