"""Batches of images, in an order that seed and epoch alone decide."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from vitrail.data.draws import Draws
from vitrail.data.part_images import PartImages
from vitrail.images.canvas import InputRule, inner_sides
from vitrail.images.patches import Images
from vitrail.models.input import together
from vitrail.tasks import TASKS
from vitrail.training.crops import Boxes, RandomCrop, cropped, cropped_maps

Pixels = Any  # a Tensor, uint8 [B, 3, size, size]; or a VectorSet, the patches of images at their own shapes
# Images, their targets [B, …], and their indices [B] in the part, which stay on the CPU; of a
# BalancedOrder those of takes, which modulo the number of images are those of images.
Batch = tuple[Pixels, Tensor, NDArray[np.int64]]
CROP, AUGMENTATION, MIXING, MASKING, PATCH = range(5)  # streams of the random numbers of a training image


class SeededOrder(Sampler[int]):
    """A new order every epoch, decided by seed and epoch alone; each of several processes takes an equal share.

    Image `i` of epoch `e` is number `e · count + i`, from which the epoch follows.
    """

    takes = 1  # the most of an image in an epoch

    def __init__(self, count: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.count, self.seed, self.rank, self.world, self.epoch = count, seed, rank, world, 0
        self.resumed = (0, 0)

    def go_on(self, epoch: int, trained: int) -> None:
        """From this epoch, of which a resumed run has trained so many images already; workers fetch at once."""
        self.epoch, self.resumed = epoch, (epoch, trained)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning, also when a run is resumed."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.world

    def __iter__(self) -> Iterator[int]:
        order = self.drawn(np.random.default_rng((self.seed, self.epoch))) + self.epoch * self.takes * self.count
        epoch, trained = self.resumed
        return map(int, order[self.rank : len(self) * self.world : self.world][trained if self.epoch == epoch else 0 :])

    def drawn(self, random: np.random.Generator) -> NDArray[np.int64]:
        """The images of an epoch, in their order."""
        return random.permutation(self.count)


class BalancedOrder(SeededOrder):
    """As many images an epoch, but each class equally often, and each image of a class equally often, within one.

    Take `t` of image `i` is `t · count + i`, so that every take of an image has random numbers of its own.
    """

    def __init__(self, labels: NDArray[np.int64], seed: int, rank: int = 0, world: int = 1) -> None:
        super().__init__(len(labels), seed, rank, world)
        counts = np.unique(labels, return_counts=True)[1]
        self.members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
        most = -(-self.count // len(counts))
        self.takes = -(-most // int(counts.min()))

    def drawn(self, random: np.random.Generator) -> NDArray[np.int64]:
        classes = len(self.members)
        quotas = random.permutation(np.arange(classes) < self.count % classes) + self.count // classes
        pairs = zip(self.members, quotas.tolist(), strict=True)
        return random.permutation(np.concatenate([self.taken(members, quota, random) for members, quota in pairs]))

    def taken(self, members: NDArray[np.int64], quota: int, random: np.random.Generator) -> NDArray[np.int64]:
        """So many takes of the images of a class; none is taken again before all others are."""
        rounds = -(-quota // len(members))
        takes = [random.permutation(members) + take * self.count for take in range(rounds)]
        return np.concatenate(takes)[:quota] if takes else members[:0]


class Canvases(Dataset[Batch]):
    """Canvases, in memory or not; a batch is indexed as a whole."""

    def __init__(
        self, images: NDArray[np.uint8] | PartImages, targets: NDArray[Any], rule: InputRule, takes: int = 1
    ) -> None:
        self.images, self.targets, self.rule, self.takes = images, torch.from_numpy(targets), rule, takes

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        taken = np.asarray(numbers) % (self.takes * len(self))
        indices = taken % len(self)
        if isinstance(self.images, PartImages):
            canvases: Images = [self.images[index] for index in indices.tolist()]
        else:
            canvases = self.images[indices]
        return together(canvases, self.rule), self.targets[indices], taken


class Crops(Dataset[Batch]):
    """Random crops of images at their own shape, and of their maps, which seed, epoch and index decide."""

    def __init__(
        self,
        images: PartImages,
        targets: NDArray[Any],
        crop: RandomCrop,
        rule: InputRule,
        seed: int,
        takes: int = 1,
        patches: Sequence[int] = (),
    ) -> None:
        self.images, self.targets, self.takes = images, torch.from_numpy(targets), takes
        self.crop, self.rule, self.seed = crop, rule, seed
        self.rules = [replace(rule, patch=patch) for patch in patches] or [rule]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        epochs, taken = np.divmod(np.asarray(numbers), self.takes * len(self))
        indices = taken % len(self)
        images = [self.images[index] for index in indices.tolist()]
        sides = np.array([image.shape[:2] for image in images])
        draws = Draws.of(self.seed, epochs, taken)
        boxes = self.crop.boxes(sides, draws.fork(CROP), self.rule.is_native)
        chosen = self.rules[int(draws.fork(PATCH).uniform(1)[0, 0] * len(self.rules))]
        crops = self.native(images, boxes, chosen) if self.rule.is_native else self.squares(images, boxes)
        return crops, self.targets_at(indices, sides, boxes), taken

    def squares(self, images: Sequence[NDArray[np.uint8]], boxes: Boxes) -> Tensor:
        size = self.rule.size
        out = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
        for index, (image, box) in enumerate(zip(images, boxes, strict=True)):
            out[index] = cropped(image, box, (size, size))
        return out

    def native(self, images: Sequence[NDArray[np.uint8]], boxes: Boxes, rule: InputRule) -> Pixels:
        """Each crop at the shape of its box, in patches of one side."""
        crops = []
        for image, box in zip(images, boxes, strict=True):
            across, down = inner_sides((int(box[3]), int(box[2])), rule)
            crops.append(cropped(image, box, (down, across)).permute(1, 2, 0).numpy())
        return together(crops, rule)

    def targets_at(self, indices: NDArray[np.int64], sides: NDArray[np.int64], boxes: Boxes) -> Tensor:
        """The targets of whole images; of a map, what the box of its image shows."""
        if not TASKS[self.images.source.task].per_cell:
            return self.targets[indices]
        maps = (self.images.map(index) for index in indices.tolist())
        return torch.stack([cropped_maps(*each, self.rule.size) for each in zip(maps, sides, boxes, strict=True)])


def as_is(batch: Any) -> Any:
    """The dataset returns whole batches already."""
    return batch
