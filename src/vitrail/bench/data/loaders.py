"""Random crops with flips in batches: our pipeline, timm's and torchvision's, each as a user would write it."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from timm.data import create_dataset, create_loader
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from vitrail.data.draws import Draws
from vitrail.training.augmentation import HorizontalFlip
from vitrail.training.batches import Batch, SeededOrder
from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule

SCALE, RATIO = (0.35, 1.0), (3 / 4, 4 / 3)
NO_ROOM = "the disk has no room for decoded photos: set TMPDIR to a folder with 6 GB"
AHEAD = 2  # batches that a process of a loader makes ahead, torch's default


class OurEpochs:
    """Epochs of `vitrail fit` on a folder, with a cache of its own."""

    def __init__(self, folder: Path, cache: Path, size: int, batch: int, workers: int | None) -> None:
        self.folder, self.cache = folder, cache
        self.size, self.batch, self.workers = size, batch, workers

    def first(self) -> int:
        """With an empty cache: every image is decoded, checked and kept, and then cropped."""
        with TemporaryDirectory(dir=self.cache) as empty:
            return consumed(self.prepared(Path(empty)).train_dataloader(), flipped)

    def later(self) -> int:
        return consumed(self.prepared().train_dataloader(), flipped)

    def endless(self) -> "EndlessBatches":
        """Epoch after epoch from the cache, without a pause between them."""
        return EndlessBatches(self.prepared().train_dataloader())

    def prepared(self, cache: Path | None = None, kind: type[ImageDataModule] = ImageDataModule) -> ImageDataModule:
        """The data as `vitrail fit` has it before its first step: every image is decoded, and kept in the cache."""
        with patch.dict(os.environ, XDG_CACHE_HOME=str(cache or self.cache)):
            data = kind(
                str(self.folder),
                self.size,
                crop=RandomCrop(SCALE, RATIO),
                batch_size=self.batch,
                augment=[HorizontalFlip()],
                workers=self.workers,
            )
            data.prepare()
        return data

    def is_kept(self) -> bool:
        """Whether the cache had room for all training images."""
        data = self.prepared()
        return data.images("train", data.trained_form("train")).is_kept


class EndlessBatches:
    """Batches of all epochs, with the processes of the loader of one, until it is closed."""

    def __init__(self, epoch: DataLoader[Batch]) -> None:
        assert isinstance(epoch.sampler, SeededOrder)
        self.workers = epoch.num_workers
        self.loader = DataLoader(
            epoch.dataset,
            epoch.batch_size,
            sampler=EpochAfterEpoch(epoch.sampler),
            num_workers=epoch.num_workers,
            collate_fn=epoch.collate_fn,
            pin_memory=epoch.pin_memory,
        )
        self.batches: Iterator[Batch] = iter(self.loader)

    def __next__(self) -> Batch:
        return next(self.batches)

    def skip_made(self) -> None:
        """Leave out the batches that were made while no step took any."""
        for _ in range(AHEAD * self.workers):
            next(self.batches)

    def close(self) -> None:
        end_workers(self.batches)


class EpochAfterEpoch(Sampler[int]):
    """The orders of all epochs, one after the other."""

    def __init__(self, order: SeededOrder) -> None:
        self.order = order

    def __iter__(self) -> Iterator[int]:
        for epoch in count():
            self.order.set_epoch(epoch)
            yield from self.order


def timm_loader(folder: Path, size: int, batch: int, workers: int, **options: Any) -> Any:
    """timm's loader as its training script makes it, with options of its own."""
    defaults: dict[str, Any] = {"persistent_workers": False, "device": torch.device("cpu")}
    return create_loader(
        create_dataset("", root=str(folder), is_training=True),
        input_size=(3, size, size),
        batch_size=batch,
        is_training=True,
        num_workers=workers,
        scale=SCALE,
        ratio=RATIO,
        hflip=0.5,
        color_jitter=0.0,
        interpolation="bilinear",
        **defaults | options,
    )


def folder_loader(folder: Path, size: int, batch: int, workers: int, persistent: bool = False) -> DataLoader[Any]:
    """torchvision's `ImageFolder` and `DataLoader`."""
    steps = [v2.RandomResizedCrop(size, SCALE, RATIO, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    return DataLoader(
        ImageFolder(str(folder), v2.Compose(steps)),
        batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=persistent and workers > 0,
    )


def flipped(batch: Batch) -> Tensor:
    """As `vitrail fit` augments batches on the device."""
    images: Tensor = HorizontalFlip()(batch[0], None, Draws.of(0, 0, batch[2]))[0]
    return images


def first_of(batch: Any) -> Tensor:
    images: Tensor = batch[0]
    return images


def consumed(loader: DataLoader[Any], images_of: Callable[[Any], Tensor] = first_of) -> int:
    """The number of images of an epoch; its workers have ended afterwards, so that their time is counted."""
    batches = iter(loader)
    images = sum(len(images_of(batch)) for batch in batches)
    end_workers(batches)
    return images


def end_workers(batches: Any) -> None:
    stop = getattr(batches, "_shutdown_workers", None)
    if stop is not None:
        stop()


def cpu_seconds() -> float:
    """Of this process and of its workers that have ended."""
    return sum(os.times()[:4])
