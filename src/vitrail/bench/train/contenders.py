"""Three ways to train one network on the same photos: vitrail's, timm's, and a plain loop over an `ImageFolder`.

Each does its part of the work once a turn: it makes the batches of an epoch up to normalised pixels, takes the steps of
an epoch on one batch that is always there, or trains for an epoch. What only some would do is left out of all:
validation, checkpoints, other augmentation.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import Any

import pytorch_lightning as pl
import timm
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vitrail.bench.data.loaders import OurEpochs, flipped, folder_loader, timm_loader
from vitrail.bench.train.plan import (
    FOLDER,
    NETWORK,
    OURS,
    PIPELINE,
    PROCESSES,
    RATE,
    SMOOTHING,
    TIMM,
    WEIGHT_DECAY,
    Contender,
    Plan,
    Setup,
    Turns,
)
from vitrail.images.canvas import InputRule
from vitrail.models import CNN, ViT
from vitrail.models.input import Input
from vitrail.models.timm_models import pixel_statistics
from vitrail.training.batches import SeededOrder
from vitrail.training.checkpoints import LastCheckpoint
from vitrail.training.data_module import ImageDataModule
from vitrail.training.exact_resume import ExactResume
from vitrail.training.faster_steps import FasterSteps
from vitrail.training.module import ImageModule
from vitrail.training.precision import measure_training
from vitrail.training.process import prepare_process
from vitrail.training.runs import loggers
from vitrail.training.throughput import Throughput

CLASSES = 2

Step = Callable[[Tensor, Tensor], None]


def of_rank(rank: int, world: int, port: int, setup: Setup, part: str, turns: Turns) -> None:
    """One of the processes of a training, on a core of its own; they meet at a port of this machine."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ours(setup, part, turns, world)


def ours(setup: Setup, part: str, turns: Turns, world: int = 1) -> None:
    """`vitrail fit` with its callbacks and metrics files; its images are in the cache."""
    plan, is_resident = setup.plan, part in (NETWORK, PROCESSES)
    prepare_process()
    epochs = our_epochs(setup, workers=0 if is_resident else plan.workers)
    data = epochs.prepared(kind=OneBatch if is_resident else ImageDataModule)
    model = our_module(plan)
    if part == PIPELINE:
        run_epochs(OurPixels(data, model.input), skip, turns)
        return
    execution, faster = plan.execution, list[Callback]()
    if plan.precision == "auto" and part != PROCESSES:
        execution = measure_training(model.net, model.input, plan.batch, "cpu").best
        faster = [FasterSteps(execution)]
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=execution.precision,
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        max_epochs=plan.turns,
        limit_val_batches=0,
        callbacks=[*faster, Throughput(), EpochATurn(turns), ExactResume(), Unsaved(setup.folder, "")],
        logger=loggers(setup.folder / f"run, {part}, {world}"),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(model, datamodule=data)


def our_epochs(setup: Setup, workers: int) -> OurEpochs:
    return OurEpochs(setup.photos, setup.cache, setup.plan.size, setup.plan.batch, workers)


def our_module(plan: Plan) -> ImageModule:
    return ImageModule(
        ViT(name=plan.net) if is_vit(plan.net) else CNN(name=plan.net),
        CLASSES,
        plan.size,
        optimizer=partial(torch.optim.AdamW, lr=RATE, weight_decay=WEIGHT_DECAY),
        label_smoothing=SMOOTHING,
    )


def is_vit(net: str) -> bool:
    return timm.models.is_model_in_modules(net, ("vision_transformer", "deit"))


class OneBatch(ImageDataModule):
    """Trains on the first batch of an epoch alone."""

    def train_dataloader(self) -> Any:
        return Repeated(super().train_dataloader())


class Unsaved(LastCheckpoint):
    """What it does in every step: processes agree on signals. No checkpoint is written, and Ctrl-C is the command's."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pass

    def save(self, trainer: pl.Trainer) -> None:
        pass


class OurPixels:
    """Batches of another epoch each time, flipped and normalised as the module has them."""

    def __init__(self, data: ImageDataModule, pixels: Input) -> None:
        self.loader, self.pixels, self.epoch = data.train_dataloader(), pixels, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        assert isinstance(self.loader.sampler, SeededOrder)
        self.loader.sampler.set_epoch(self.epoch)
        self.epoch += 1
        for batch in self.loader:
            yield self.pixels.normalised(flipped(batch)), batch[1]


class EpochATurn(Callback):
    """Holds each epoch back until its turn; the next turn ends the one before, as does the end of the training."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        next(self.turns)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        next(self.turns, None)


def of_timm(setup: Setup, part: str, turns: Turns) -> None:
    """timm's loader, which normalises, and the steps of its training script."""
    plan, network = setup.plan, network_of(setup.plan)
    mean, std = pixel_statistics(network)
    workers = 0 if part == NETWORK else plan.workers
    loader = timm_loader(
        setup.photos / "train",
        plan.size,
        plan.batch,
        workers,
        mean=mean,
        std=std,
        persistent_workers=workers > 0,
    )
    work = skip if part == PIPELINE else timm_step(network, plan)
    run_epochs(Repeated(loader) if part == NETWORK else loader, work, turns)


def timm_step(network: nn.Module, plan: Plan) -> Step:
    loss_of: Any = LabelSmoothingCrossEntropy(SMOOTHING)  # type: ignore[no-untyped-call]
    optimizer = create_optimizer_v2(network, "adamw", lr=RATE, weight_decay=WEIGHT_DECAY)
    scheduler = CosineLRScheduler(optimizer, t_initial=plan.turns * plan.steps, t_in_epochs=False)
    losses: Any = AverageMeter()  # type: ignore[no-untyped-call]
    updates = 0

    def step(pixels: Tensor, labels: Tensor) -> None:
        nonlocal updates
        with plan.execution.autocast("cpu"):
            loss = loss_of(network(pixels), labels)
        loss.backward()
        optimizer.step()
        losses.update(loss.item(), len(pixels))
        optimizer.zero_grad()
        updates += 1
        scheduler.step_update(updates, metric=losses.avg)

    return step


def of_folder(setup: Setup, part: str, turns: Turns) -> None:
    """uint8 batches, normalised as a whole: faster than image by image, as most examples do it."""
    plan, network = setup.plan, network_of(setup.plan)
    workers = 0 if part == NETWORK else plan.workers
    loader = folder_loader(setup.photos / "train", plan.size, plan.batch, workers, persistent=True)
    batches = NormalisedBatches(loader, Input(InputRule(plan.size, "squash", *pixel_statistics(network))))
    work = skip if part == PIPELINE else plain_step(network, plan)
    run_epochs(Repeated(batches) if part == NETWORK else batches, work, turns)


class NormalisedBatches:
    """uint8 batches of a loader, as the network takes them."""

    def __init__(self, loader: DataLoader[Any], pixels: Input) -> None:
        self.loader, self.pixels = loader, pixels

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.loader:
            yield self.pixels.normalised(images), labels


def plain_step(network: nn.Module, plan: Plan) -> Step:
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)

    def step(pixels: Tensor, labels: Tensor) -> None:
        with plan.execution.autocast("cpu"):
            loss = F.cross_entropy(network(pixels), labels, label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def network_of(plan: Plan) -> nn.Module:
    options: dict[str, Any] = {"img_size": plan.size} if is_vit(plan.net) else {}
    network: nn.Module = timm.create_model(plan.net, num_classes=CLASSES, **options)
    return network.train()


def run_epochs(batches: Iterable[Any], step: Step, turns: Turns) -> None:
    for _ in turns:
        for pixels, labels in batches:
            step(pixels, labels)


class Repeated:
    """The first batch of a loader, as often as it has batches."""

    def __init__(self, loader: Any) -> None:
        self.batch, self.count = next(iter(loader)), len(loader)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        return repeat(self.batch, self.count)


def skip(pixels: Tensor, labels: Tensor) -> None:
    """No step: the pipeline alone."""


RUN: dict[str, Contender] = {OURS: ours, TIMM: of_timm, FOLDER: of_folder}
