"""Batches of images, in an order that seed and epoch alone decide."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from vitrail.data.draws import Draws
from vitrail.data.part_images import PartImages
from vitrail.models.input import channels_first
from vitrail.training.crops import Boxes, RandomCrop, cropped, cropped_map

# Images uint8 [B, 3, size, size], their targets [B, …], and their indices [B] in the part, which stay on the CPU.
Batch = tuple[Tensor, Tensor, NDArray[np.int64]]
CROP, AUGMENTATION, MIXING, MASKING = range(4)  # streams of the random numbers of a training image


class SeededOrder(Sampler[int]):
    """A new order every epoch, decided by seed and epoch alone; each of several processes takes an equal share.

    Image `i` of epoch `e` is number `e · count + i`, from which the epoch follows.
    """

    def __init__(self, count: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.count, self.seed, self.rank, self.world, self.epoch = count, seed, rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning, also when a run is resumed."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.world

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count) + self.epoch * self.count
        share: list[int] = order[self.rank : len(self) * self.world : self.world].tolist()
        return iter(share)


class Canvases(Dataset[Batch]):
    """Canvases, in memory or not; a batch is indexed as a whole, and is channels first."""

    def __init__(self, images: NDArray[np.uint8] | PartImages, targets: NDArray[Any]) -> None:
        self.images, self.targets = images, torch.from_numpy(targets)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        indices = np.asarray(numbers) % len(self)
        if isinstance(self.images, PartImages):
            canvases = np.stack([self.images[index] for index in indices.tolist()])
        else:
            canvases = self.images[indices]
        return channels_first(torch.from_numpy(canvases)), self.targets[indices], indices


class Crops(Dataset[Batch]):
    """Random crops of images at their own shape, and of their maps, which seed, epoch and index decide."""

    def __init__(self, images: PartImages, targets: NDArray[Any], crop: RandomCrop, size: int, seed: int) -> None:
        self.images, self.targets = images, torch.from_numpy(targets)
        self.crop, self.size, self.seed = crop, size, seed

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        epochs, indices = np.divmod(np.asarray(numbers), len(self))
        images = [self.images[index] for index in indices.tolist()]
        sides = np.array([image.shape[:2] for image in images])
        boxes = self.crop.boxes(sides, Draws.of(self.seed, epochs, indices).fork(CROP))
        out = torch.empty(len(images), 3, self.size, self.size, dtype=torch.uint8)
        for index, (image, box) in enumerate(zip(images, boxes, strict=True)):
            out[index] = cropped(image, box, self.size)
        return out, self.targets_at(indices, sides, boxes), indices

    def targets_at(self, indices: NDArray[np.int64], sides: NDArray[np.int64], boxes: Boxes) -> Tensor:
        """The targets of whole images; of a map, what the box of its image shows."""
        if self.images.source.task != "dense":
            return self.targets[indices]
        maps = (self.images.map(index) for index in indices.tolist())
        return torch.stack([cropped_map(*each, self.size) for each in zip(maps, sides, boxes, strict=True)])


def as_is(batch: Any) -> Any:
    """The dataset returns whole batches already."""
    return batch
