"""The DataModule: one source of images as seeded batches of canvases."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from time import monotonic
from typing import Any, ClassVar, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from vitrail.data import ImageSource, Part, Samples, Source, open_source
from vitrail.data.check.leaks import Duplicates, refuse_leaks
from vitrail.data.contents import Contents
from vitrail.data.draws import Draws
from vitrail.data.forms import Canvas, Form, OwnShape
from vitrail.data.image_store import ImageStore, open_store
from vitrail.data.memory import bytes_of, free_memory
from vitrail.data.part_images import PartImages, Progress, cores
from vitrail.data.record import PART_NAMES, Record
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS, Targets, with_mean_1
from vitrail.errors import DamagedImages, UsageError, first_few
from vitrail.images.canvas import InputRule, Resize, input_rule
from vitrail.models.checkpoint import RunData
from vitrail.own_class import Plain
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName
from vitrail.training.augmentation import ColorJitter, Erasing, HorizontalFlip, augmented, augmented_sets
from vitrail.training.batches import AUGMENTATION, BalancedOrder, Batch, Canvases, Crops, SeededOrder, as_is
from vitrail.training.crops import RandomCrop
from vitrail.training.process import return_free_memory
from vitrail.training.ranks import even_batches, print_once, share_of
from vitrail.training.signals import leave_to_trainer
from vitrail.vectors.sets import VectorSet

RESIDENT = 1 << 28  # bytes of the canvases of a part that training keeps in memory
MOST_WORKERS = 8
BETWEEN_LINES = 10  # seconds


class ImageDataModule(pl.LightningDataModule):
    """Images from a folder, or from a built-in set.

    Args:
        path: a folder with one folder a class, or with train, val and test folders of these; a manifest, CSV or
            Parquet, or a folder with manifest.csv in it; IDX files; 'digits', 'digit-rows', 'digit-scenes-multilabel',
            -regression, -dense, -dense-regression or -detection; a procedural set, one of torchvision, Hugging Face or
            WebDataset (docs/sources.md).
            In YAML, also the class_path and init_args of an ImageSource of one's own.
        size: side of the square canvas in pixels; of sets of vectors, the most vectors of one.
        resize: how an image becomes square: squash it, crop its centre, or pad it with black. Or native: it keeps its
            shape, and has at most as many patches as the square. Vectors are taken as they are.
        patch: with native, the side of the network's patches in pixels.
        patches: with native and crops, sides that batches of training images are cut into at random.
        crop: instead, a random part of each training image, cut at the image's own shape.
        images: number of labelled images to use, validation included; smaller subsets are nested in larger ones.
        batch_size: images a step, in each process.
        augment: random changes of training images, anew in each epoch: vitrail.training.augmentation for whole batches
            at once, or torchvision v2 image by image.
        seed: of the split of unsplit data, and of the subset.
        draw: which of several subsets of this size; the split stays the same.
        cache: gigabytes of disk for decoded images of all sets, in the user's cache folder.
        workers: processes that make training batches; none where all canvases are in memory.
        duplicates: whether to refuse parts that share images, by content.
        corrupt: whether to refuse images that do not decode, or to leave them out.
    """

    decoded: ClassVar[tuple[Part, ...]] = PARTS  # before training, so that damage is reported

    def __init__(
        self,
        path: str | dict[str, Any] = "digits",
        size: int = 224,
        resize: Resize = "squash",
        patch: int | None = None,
        patches: list[int] | None = None,
        crop: RandomCrop | None = None,
        images: int | None = None,
        batch_size: int = 128,
        augment: list[nn.Module] | None = None,
        seed: int = 0,
        draw: int = 0,
        cache: float = 20.0,
        workers: int | None = None,
        duplicates: Duplicates = "refuse",
        corrupt: Literal["refuse", "skip"] = "refuse",
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UsageError(f"a batch needs at least one image, not {batch_size}")
        self.batch_size = batch_size
        place = path if isinstance(path, str) else ImageSource.from_plain(path).to_plain()
        self.source = self.open(place, seed)
        self.width, self.edges = self.source.width, self.source.edges
        self.rule = input_rule(size, resize, patch, self.width, self.edges)
        refuse_image_options(self.rule, crop, augment)
        self.patches = patches or []
        if self.patches and (crop is None or not self.rule.is_native):
            raise UsageError("patches of several sides are cut out of crops at their own shape: give crop, and native")
        for side in self.patches:
            replace(self.rule, patch=side)  # refused where it has no sense
        self.crop, self.cache, self.workers = crop, cache, workers
        self.augment = augment or []
        self.duplicates = duplicates
        self.task: TaskName = self.source.task
        refuse_moved(self.task, resize, crop, self.augment)
        self.classes = self.source.classes
        self.class_count = len(self.classes)
        self.selection = Selection(place, seed, images, draw)
        self.chosen = self.selection.chosen(self.source)
        self.start: RunData | None = None  # of the run whose weights this one starts from
        self.balanced = False  # whether training images are drawn so that every class is equally frequent
        self.teacher: RunData | None = None  # of the run that teaches this one
        self._read: dict[Part, Samples] = {}
        self._targets: dict[Part, Targets] = {}
        self._images: dict[tuple[Part, Form], PartImages] = {}
        self._stores: dict[Form, ImageStore | None] = {}
        if corrupt == "skip":
            self.skip_corrupt()

    def open(self, path: str | Plain, seed: int) -> Source:
        return open_source(path, seed)

    def part(self, part: Part) -> Samples:
        """The canvases of one part in memory, decoded on first use."""
        if part not in self._read:
            images = self.images(part, Canvas(self.rule))
            if images.store is None:
                self._read[part] = self.source.read(part, self.rule, self.chosen.get(part))
            else:
                targets = self.targets(part)
                self._read[part] = Samples(images.together(self.rule), targets.labels, tuple(targets.names))
        return self._read[part]

    def images(self, part: Part, form: Form) -> PartImages:
        """The images of one part in one form, each decoded when it is used, unless it is kept on disk."""
        if (part, form) not in self._images:
            self._images[part, form] = PartImages(self.source, part, form, self.chosen.get(part), self.store(form))
        return self._images[part, form]

    def skip_corrupt(self) -> None:
        """Leave out the images that do not decode; a run records which."""
        skipped: list[int] = []
        named: list[str] = []
        for part in self.decoded:
            images = self.images(part, self.trained_form(part))
            faults = images.check(decoding(part))
            named += images.described(faults)
            skipped += images.keys[list(faults)].tolist() if faults else []
        if skipped:
            print_once(f"left out {len(named):,} image(s) that do not decode: {first_few(named)}")
            self.selection = replace(self.selection, skipped=tuple(sorted(set(skipped))))
            self.chosen = self.selection.chosen(self.source)
            self._images.clear()
            self._targets.clear()

    def store(self, form: Form) -> ImageStore | None:
        """Where images of this form are kept on disk, if they can be."""
        if form not in self._stores:
            self._stores[form] = open_store(form.name, round(self.cache * 1e9))
        return self._stores[form]

    def trained_form(self, part: Part) -> Form:
        """What training needs of the images of a part."""
        return OwnShape(self.rule.size) if part == "train" and self.crop is not None else Canvas(self.rule)

    def is_resident(self, part: Part) -> bool:
        """Whether training keeps the canvases of a part in memory."""
        if not isinstance(self.trained_form(part), Canvas):
            return False
        if part in self._read:
            return True
        size, free = bytes_of(self.count(part), self.rule), free_memory()
        return size <= RESIDENT and (free is None or size <= free // 2)

    def targets(self, part: Part) -> Targets:
        """The targets and names of one part, without reading images; maps are read on first use."""
        if part not in self._targets:
            chosen = self.chosen.get(part)
            names = self.source.contents(part).take(chosen).names
            self._targets[part] = Targets(self.source.targets(part, self.rule, chosen), names)
        return self._targets[part]

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        """What the loss of each image is multiplied by, with a mean of 1, if the data say so."""
        weights, chosen = self.source.weights(part), self.chosen.get(part)
        return weights if weights is None or chosen is None else with_mean_1(weights[chosen])

    def count(self, part: Part) -> int:
        """The number of images of a part, without reading them."""
        return len(self.chosen.get(part, self.source.labels(part)))

    def prepare(self) -> None:
        """Decode each image once, those of the test part too, so that damage is reported before training."""
        faults: list[str] = []
        for part in self.decoded:
            images = self.images(part, self.trained_form(part))
            is_read = part != "test" or self.width is not None  # only images can be checked without keeping them
            if images.store is None and is_read and self.is_resident(part):
                try:
                    self.part(part)
                except DamagedImages as damaged:
                    faults += damaged.faults
            else:
                faults += images.described(images.check(decoding(part)))
                if images.store is not None and images.store.fault is not None:
                    print_once(f"decoded images are not kept on disk from here on: {images.store.fault.strerror}")
        if faults:
            raise DamagedImages(faults)
        if self.duplicates == "refuse":
            refuse_leaks(self.contents(), self.selection.place)
        return_free_memory()  # each worker would have a copy of it

    def contents(self) -> dict[Part, Contents]:
        """The used images of each part by content; files are hashed, not decoded."""
        return {part: self.source.contents(part).take(self.chosen.get(part)) for part in PARTS}

    @cached_property
    def run_data(self) -> RunData:
        """What a checkpoint stores of the data; images are hashed, not decoded."""
        start, teacher = (None if run is None else run.record for run in (self.start, self.teacher))
        record = Record.of(self.contents(), start, teacher)
        return RunData(self.selection, self.source.name, self.source.fingerprint, record)

    def refuse_contradiction(self, run_data: RunData, parts: Iterable[Part], is_evaluated: bool = False) -> None:
        """Refuse parts that differ from those of a run; it may be evaluated on another set."""
        if is_evaluated and self.selection.path != run_data.selection.path:
            run_data.refuse_seen(self.source, self.selection, parts)
            return
        run_data.refuse_contradiction(self.source, self.selection, parts)

    def train_dataloader(self) -> DataLoader[Batch]:
        order = self.training_order()
        full = len(order) >= self.batch_size
        return self._loader("train", order.takes, sampler=order, batch_size=self.batch_size, drop_last=full)

    def training_order(self) -> SeededOrder:
        rank, world = self.ranks
        if self.balanced:
            return BalancedOrder(self.targets("train").labels, torch.initial_seed(), rank, world)
        return SeededOrder(self.count("train"), torch.initial_seed(), rank, world)

    def val_dataloader(self) -> DataLoader[Batch]:
        rank, world = self.ranks
        if world == 1:
            return self._loader("val", batch_size=self.batch_size)
        return self._loader("val", batch_sampler=even_batches(self.count("val"), self.batch_size, rank, world))

    def test_dataloader(self) -> DataLoader[Batch]:
        rank, world = self.ranks
        share = share_of(self.count("test"), rank, world) if world > 1 else None
        return self._loader("test", sampler=share, batch_size=self.batch_size)

    def in_order(self, part: Part) -> DataLoader[Batch]:
        """All images of a part, whole, once and in their order."""
        return self._loader(part, form=Canvas(self.rule), batch_size=self.batch_size)

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self.test_dataloader()

    @property
    def ranks(self) -> tuple[int, int]:
        """The rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training batches on the device."""
        if not self.augment or self.trainer is None or not self.trainer.training:
            return batch
        images, targets, indices = batch
        draws = self.draws(indices, AUGMENTATION)
        if isinstance(images, VectorSet):
            return augmented_sets(images, self.augment, draws), targets, indices
        return *augmented(images, targets, self.task, self.augment, draws), indices

    def draws(self, indices: NDArray[np.int64], stream: int) -> Draws:
        """The random numbers of these training images in this epoch."""
        assert self.trainer is not None
        return Draws.of(torch.initial_seed(), self.trainer.current_epoch, indices).fork(stream)

    def _loader(self, part: Part, takes: int = 1, form: Form | None = None, **order: Any) -> DataLoader[Batch]:
        """Canvases in memory, or read from the cache in order, need no workers, which decode and crop all others."""
        dataset = self._dataset(part, takes, form)
        images = self.images(part, form or self.trained_form(part))
        is_at_hand = self.is_resident(part) or images.is_array or (part != "train" and images.is_kept)
        workers = 0 if is_at_hand else workers_of(self.workers)
        return DataLoader(
            dataset,
            collate_fn=as_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=leave_to_trainer,
            generator=torch.Generator(),  # else each epoch takes a number from dropout's
            **order,
        )

    def _dataset(self, part: Part, takes: int, form: Form | None = None) -> Dataset[Batch]:
        form = form or self.trained_form(part)
        if self.is_resident(part) or (isinstance(form, Canvas) and part in self._read):
            return Canvases(self.part(part).images, self.part(part).labels, self.rule, takes)
        images, targets = self.images(part, form), self.targets(part).labels
        if faults := images.check(decoding(part)):
            raise DamagedImages(images.described(faults))
        if self.crop is not None and not isinstance(form, Canvas):
            return Crops(images, targets, self.crop, self.rule, torch.initial_seed(), takes, self.patches)
        return Canvases(images, targets, self.rule, takes)


def refuse_image_options(rule: InputRule, crop: RandomCrop | None, augment: Sequence[nn.Module] | None) -> None:
    """Refuse what changes pixels, where there are none."""
    if rule.width is not None and (crop or augment):
        raise UsageError("crops and augmentation are for images, and these data are vectors: leave them out")


def refuse_moved(task: TaskName, resize: Resize, crop: RandomCrop | None, augment: Sequence[nn.Module]) -> None:
    """Refuse what moves parts of an image where the target would not follow."""
    if TASKS[task].is_ordered and any(isinstance(one, HorizontalFlip) for one in augment):
        raise UsageError(f"the task is {task}, and a flip turns the order of labels around: leave out HorizontalFlip")
    if not TASKS[task].keeps_places:
        return
    moving = [type(one).__name__ for one in augment if not isinstance(one, ColorJitter | Erasing)]
    moving += ["crop"] if crop is not None else []
    moving += [f"resize {resize}"] if resize in ("crop", "pad") else []
    if moving:
        raise UsageError(
            f"the task is {task}, whose targets do not move with their images: leave out {', '.join(moving)}"
        )


def decoding(part: Part) -> Progress:
    """Prints how many images are decoded, every few seconds."""
    last = monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if monotonic() - last > BETWEEN_LINES:
            last = monotonic()
            print_once(f"decoded {done:,} of {total:,} {PART_NAMES[part]} images", flush=True)

    return show


def workers_of(wanted: int | None) -> int:
    """By default a process a core, less one for training."""
    return min(MOST_WORKERS, max(1, cores() - 1)) if wanted is None else wanted
