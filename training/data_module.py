"""The DataModule: one source of images as seeded batches of canvases."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler

from vitrail.data import ImageSource, Part, Samples, Source, open_source
from vitrail.data.memory import refuse_too_many
from vitrail.data.record import Record
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS, damaged_images
from vitrail.errors import DamagedImages, UsageError
from vitrail.images.canvas import InputRule, Resize
from vitrail.models.checkpoint import RunData
from vitrail.own_class import Plain
from vitrail.tasks.task import TaskName
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.training.batches import Batch, Canvases, SeededOrder, as_is
from vitrail.training.ranks import even_batches, share_of


class ImageDataModule(pl.LightningDataModule):
    """Images from a folder, or from a built-in set.

    Args:
        path: a folder with one folder a class, or with train, val and test folders of these; a manifest, CSV or
            Parquet, or a folder with manifest.csv in it; IDX files; 'digits'; or 'digit-scenes-multilabel',
            -regression or -dense. In YAML, also the class_path and init_args of an ImageSource of one's own.
        size: side of the square canvas in pixels.
        resize: how an image becomes square: squash it, crop its centre, or pad it with black.
        images: number of labelled images to use, validation included; smaller subsets are nested in larger ones.
        batch_size: images a step, in each process.
        augment: torchvision v2 transforms, applied to each training image anew.
        seed: of the split of unsplit data, and of the subset.
        draw: which of several subsets of this size; the split stays the same.
    """

    def __init__(
        self,
        path: str | dict[str, Any] = "digits",
        size: int = 224,
        resize: Resize = "squash",
        images: int | None = None,
        batch_size: int = 128,
        augment: list[nn.Module] | None = None,
        seed: int = 0,
        draw: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UsageError(f"a batch needs at least one image, not {batch_size}")
        self.batch_size = batch_size
        self.rule = InputRule(size, resize)
        self.augment = augment or []
        place = path if isinstance(path, str) else ImageSource.from_plain(path).to_plain()
        self.source = self.open(place, seed)
        self.task: TaskName = self.source.task
        self.classes = self.source.classes
        self.class_count = len(self.classes)
        self.selection = Selection(place, seed, images, draw)
        self.chosen = self.selection.chosen(self.source)
        self.start: RunData | None = None  # of the run whose weights this one starts from
        self._read: dict[Part, Samples] = {}

    def open(self, path: str | Plain, seed: int) -> Source:
        return open_source(path, seed)

    def part(self, part: Part) -> Samples:
        """The images of one part, decoded on first use."""
        if part not in self._read:
            self._read[part] = self.source.read(part, self.rule, self.chosen.get(part))
        return self._read[part]

    def count(self, part: Part) -> int:
        """The number of images of a part, without reading them."""
        return len(self.chosen.get(part, self.source.labels(part)))

    def prepare(self) -> None:
        """Decode training and validation images and check test images, so that damage is reported before training."""
        refuse_too_many(self.count("train") + self.count("val"), self.rule)
        faults: list[str] = []
        for part in ("train", "val"):
            try:
                self.part(part)
            except DamagedImages as damaged:
                faults += damaged.faults
        faults += damaged_images(self.source, "test", self.rule)
        if faults:
            raise DamagedImages(faults)

    @cached_property
    def run_data(self) -> RunData:
        """What a checkpoint stores of the data; images are hashed, not decoded."""
        here = {part: self.source.contents(part).take(self.chosen.get(part)) for part in PARTS}
        record = Record.of(here, self.start.record if self.start is not None else None)
        return RunData(self.selection, self.source.name, self.source.fingerprint, record)

    def refuse_contradiction(self, run_data: RunData, parts: Iterable[Part], is_evaluated: bool = False) -> None:
        """Refuse parts that differ from those of a run; it may be evaluated on another set."""
        if is_evaluated and self.selection.path != run_data.selection.path:
            run_data.refuse_seen(self.source, self.selection, parts)
            return
        run_data.refuse_contradiction(self.source, self.selection, parts)

    def train_dataloader(self) -> DataLoader[Batch]:
        images = self.part("train")
        rank, world = self.ranks
        order = SeededOrder(len(images), torch.initial_seed(), rank, world)
        return self._loader("train", order, drop_last=len(order) >= self.batch_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        rank, world = self.ranks
        if world == 1:
            return self._loader("val")
        batches = even_batches(self.count("val"), self.batch_size, rank, world)
        return DataLoader(Canvases(self.part("val")), batch_sampler=batches, collate_fn=as_is)

    def test_dataloader(self) -> DataLoader[Batch]:
        rank, world = self.ranks
        return self._loader("test", share_of(self.count("test"), rank, world) if world > 1 else None)

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self.test_dataloader()

    @property
    def ranks(self) -> tuple[int, int]:
        """The rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches on the device, seeded by the step."""
        if not self.augment or self.trainer is None or not self.trainer.training:
            return batch
        device = batch[0].device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(torch.initial_seed() + self.trainer.global_step)
            return TRAINING_TASKS[self.task].augment(*batch, self.augment)

    def _loader(
        self, part: Part, order: Sampler[int] | range | None = None, drop_last: bool = False
    ) -> DataLoader[Batch]:
        images = Canvases(self.part(part))
        return DataLoader(images, batch_size=self.batch_size, sampler=order, drop_last=drop_last, collate_fn=as_is)
