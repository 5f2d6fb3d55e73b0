"""Random numbers of images, from seed, epoch and index alone: batches, workers and ranks change nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: the step of SplitMix64
SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
DOUBLE = np.uint64(11)  # bits that a float64 of 53 bits leaves out


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers of the images of a batch. The same key gives the same numbers whenever they are drawn."""

    keys: NDArray[np.uint64]  # [B]

    @classmethod
    def of(cls, seed: int, epoch: int | NDArray[np.int64], indices: NDArray[np.int64]) -> "Draws":
        """Of images by their index in the part, in one epoch, or in an epoch each."""
        return cls(mixed(indices.astype(np.uint64))).fork(seed).fork(epoch)

    def fork(self, stream: int | NDArray[np.int64]) -> "Draws":
        """Other numbers of the same images; each transform has a stream of its own."""
        return Draws(mixed(self.keys + mixed(np.atleast_1d(np.asarray(stream)).astype(np.uint64))))

    def take(self, rows: NDArray[np.int64]) -> "Draws":
        """Of these images of the batch."""
        return Draws(self.keys[rows])

    def uniform(self, count: int) -> NDArray[np.float64]:
        """[B, count], from 0 to 1 without 1."""
        steps = np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        numbers: NDArray[np.float64] = (mixed(self.keys[:, None] + steps) >> DOUBLE).astype(np.float64) * 2.0**-53
        return numbers

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """[B, count], from 0 to 255."""
        steps = np.arange(1, -(-count // 8) + 1, dtype=np.uint64) * GOLDEN
        return mixed(self.keys[:, None] + steps).view(np.uint8)[:, :count]

    def seeds(self) -> NDArray[np.int64]:
        """[B], for generators that take a seed."""
        return (mixed(self.keys) >> np.uint64(1)).astype(np.int64)


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64; unsigned arithmetic of arrays wraps around."""
    numbers = numbers + GOLDEN
    numbers = (numbers ^ (numbers >> SHIFTS[0])) * FACTORS[0]
    numbers = (numbers ^ (numbers >> SHIFTS[1])) * FACTORS[1]
    out: NDArray[np.uint64] = numbers ^ (numbers >> SHIFTS[2])
    return out
