"""Batches of decoded images, in an order that seed and epoch alone decide."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from vitrail.data import Samples
from vitrail.models.input import channels_first

# Images uint8 [B, 3, size, size], their targets [B, …], and their indices [B] in the part, which stay on the CPU.
Batch = tuple[Tensor, Tensor, NDArray[np.int64]]


class Canvases(Dataset[Batch]):
    """Decoded images; a batch is indexed as a whole, so no worker processes are needed, and is channels first."""

    def __init__(self, images: Samples) -> None:
        self.canvases = torch.from_numpy(images.images)
        self.labels = torch.from_numpy(images.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> Batch:
        return channels_first(self.canvases[indices]), self.labels[indices], np.array(indices)


class SeededOrder(Sampler[int]):
    """A new order every epoch, decided by seed and epoch alone; each of several processes takes an equal share."""

    def __init__(self, count: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.count, self.seed, self.rank, self.world, self.epoch = count, seed, rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning, also when a run is resumed."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.world

    def __iter__(self) -> Iterator[int]:
        order: list[int] = np.random.default_rng((self.seed, self.epoch)).permutation(self.count).tolist()
        return iter(order[self.rank : len(self) * self.world : self.world])


def as_is(batch: Any) -> Any:
    """The dataset returns whole batches already."""
    return batch
