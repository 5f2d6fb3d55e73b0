"""The DataModule: one source of images as seeded batches of canvases."""

from collections.abc import Iterable
from functools import cached_property

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from torchvision.tv_tensors import Mask

from vitrail.data import Part, Samples, Source, open_source
from vitrail.data.memory import refuse_too_many
from vitrail.data.record import Record
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS, damaged_images
from vitrail.errors import DamagedImages, UsageError
from vitrail.images.canvas import InputRule, Resize
from vitrail.models.checkpoint import RunData
from vitrail.tasks.task import TaskName
from vitrail.training.batches import Batch, Canvases, SeededOrder, as_is
from vitrail.training.ranks import even_batches, share_of


class ImageDataModule(pl.LightningDataModule):
    """Images from a folder of yours, or from a set that vitrail knows by name.

    Args:
        path: a folder with one folder a class, or with train, val and test folders of such; with labels.csv, values.csv
            or maps.csv and the images that it names; IDX files; 'digits'; or 'digit-scenes-multilabel', -regression or
            -dense.
        size: side in pixels of the square canvas that every image becomes.
        resize: how it becomes square: squash it, crop its centre, or pad it with black.
        images: use only so many labelled images, validation included; smaller choices lie within larger ones.
        batch_size: images a step; of several processes, each takes so many.
        augment: torchvision v2 transforms, applied to each training image anew.
        seed: decides how a pile is split and which images a subset holds.
        draw: which of many subsets of so many images; the split stays as it is.
    """

    def __init__(
        self,
        path: str = "digits",
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
            raise UsageError(f"a batch holds at least one image, not {batch_size}")
        self.batch_size = batch_size
        self.rule = InputRule(size, resize)
        self.augment = augment or []
        self.source = self.open(path, seed)
        self.task: TaskName = self.source.task
        self.classes = self.source.classes
        self.class_count = len(self.classes)
        self.selection = Selection(path, seed, images, draw)
        self.chosen = self.selection.chosen(self.source)
        self.start: RunData | None = None  # of the run whose weights this one begins with
        self._read: dict[Part, Samples] = {}

    def open(self, path: str, seed: int) -> Source:
        return open_source(path, seed)

    def part(self, part: Part) -> Samples:
        """The images of one part, decoded when first asked for."""
        if part not in self._read:
            self._read[part] = self.source.read(part, self.rule, self.chosen.get(part))
        return self._read[part]

    def count(self, part: Part) -> int:
        """How many images a part has; none is read for that."""
        return len(self.chosen.get(part, self.source.labels(part)))

    def prepare(self) -> None:
        """Decode what training needs, and every test image once: what is damaged is named before the first step."""
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
    def learnt(self) -> RunData:
        """What a checkpoint keeps of the data; images are hashed, not decoded, for that."""
        here = {part: self.selection.contents(self.source, part) for part in PARTS}
        record = Record.of(here, self.start.record if self.start is not None else None)
        return RunData(self.selection, self.source.name, self.source.fingerprint, record)

    def refuse_contradiction(self, learnt: RunData, parts: Iterable[Part], is_measured: bool = False) -> None:
        """Refuse these parts where they are not those of a run; to be measured, it may be shown another set."""
        if is_measured and self.selection.path != learnt.selection.path:
            learnt.refuse_seen(self.source, self.selection, parts)
            return
        learnt.refuse_contradiction(self.source, self.selection, parts)

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
        """Which of how many processes this one is."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches on the device; each step draws from a seed of its own."""
        canvases, target = batch
        if not self.augment or self.trainer is None or not self.trainer.training:
            return batch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed() + self.trainer.global_step)
            images = canvases.permute(0, 3, 1, 2)
            if self.task == "dense":
                pairs = [self._change_both(*pair) for pair in zip(images, target, strict=True)]
                target = torch.stack([places for _, places in pairs])
                changed = torch.stack([image for image, _ in pairs])
            else:
                changed = torch.stack([self._change(image) for image in images])
        return changed.permute(0, 2, 3, 1), target

    def _change(self, image: Tensor) -> Tensor:
        for transform in self.augment:
            image = transform(image)
        return image

    def _change_both(self, image: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """What moves the image moves its map [size, size], too."""
        # Where a transform leaves a gap it puts 0; one more, 255 ("not told") is 0.
        mask: Tensor = Mask(places + 1)
        for transform in self.augment:
            image, mask = transform(image, mask)
        return image, mask.as_subclass(Tensor) - 1

    def _loader(
        self, part: Part, order: Sampler[int] | range | None = None, drop_last: bool = False
    ) -> DataLoader[Batch]:
        images = Canvases(self.part(part))
        return DataLoader(images, batch_size=self.batch_size, sampler=order, drop_last=drop_last, collate_fn=as_is)
