"""One epoch of random crops with flips: our pipeline, timm's and torchvision's, each as a user would write it."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from timm.data import create_dataset, create_loader
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule

SCALE, RATIO = (0.35, 1.0), (3 / 4, 4 / 3)


class OurEpochs:
    """Epochs of `vitrail fit` on a folder, with a cache of its own."""

    def __init__(self, folder: Path, cache: Path, size: int, batch: int, workers: int) -> None:
        self.folder, self.cache = folder, cache
        self.size, self.batch, self.workers = size, batch, workers

    def first(self) -> int:
        """With an empty cache: every image is decoded, checked and kept, and then cropped."""
        with TemporaryDirectory(dir=self.cache) as empty:
            return self.epoch(Path(empty))

    def later(self) -> int:
        return self.epoch(self.cache)

    def epoch(self, cache: Path) -> int:
        with patch.dict(os.environ, XDG_CACHE_HOME=str(cache)):
            data = self.data()
            data.prepare()
            return consumed(data.train_dataloader())

    def endless(self) -> Generator[tuple[Tensor, ...], None, None]:
        """Batches of one epoch after the other, from the cache."""
        with patch.dict(os.environ, XDG_CACHE_HOME=str(self.cache)):
            data = self.data()
            data.prepare()
            loader = data.train_dataloader()
        while True:
            yield from loader

    def data(self) -> ImageDataModule:
        crop = RandomCrop(SCALE, RATIO)
        return ImageDataModule(str(self.folder), self.size, crop=crop, batch_size=self.batch, workers=self.workers)


def timm_epoch(folder: Path, size: int, batch: int, workers: int) -> int:
    """timm's loader as its training script makes it, up to the uint8 batch that it moves to the device."""
    loader = create_loader(
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
        persistent_workers=False,
        device=torch.device("cpu"),
    )
    return consumed(loader.loader)


def folder_epoch(folder: Path, size: int, batch: int, workers: int) -> int:
    """torchvision's `ImageFolder` and `DataLoader`."""
    steps = [v2.RandomResizedCrop(size, SCALE, RATIO, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    images = ImageFolder(str(folder), v2.Compose(steps))
    return consumed(DataLoader(images, batch, shuffle=True, num_workers=workers, drop_last=True))


def consumed(loader: DataLoader[tuple[Tensor, ...]]) -> int:
    """The number of images of an epoch; its workers have ended afterwards, so that their time is counted."""
    batches = iter(loader)
    with ended(batches):
        return sum(len(batch[0]) for batch in batches)


@contextmanager
def ended(batches: Iterator[tuple[Tensor, ...]]) -> Iterator[None]:
    yield
    stop = getattr(batches, "_shutdown_workers", None)
    if stop is not None:
        stop()


def cpu_seconds() -> float:
    """Of this process and of its workers that have ended."""
    return sum(os.times()[:4])
