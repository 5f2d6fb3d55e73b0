"""Memory that processes share by a file descriptor: nothing has a name, so nothing is left behind by a crash."""

import os
import tempfile
from mmap import ALLOCATIONGRANULARITY, mmap

import numpy as np
from numpy.typing import NDArray

LARGE = 1_000_000  # bytes: the pages of such a region go back to the system when it is released
ALIGNMENT = 64


def create(size: int) -> int:
    """The descriptor of so many bytes, all 0; a page takes memory once it is written."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("vitrail", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


class Region:
    """Bytes of an arena that one request uses."""

    __slots__ = ("offset", "size")

    def __init__(self, offset: int, size: int) -> None:
        self.offset, self.size = offset, size


class Arena:
    """Memory of one front, in which it places what an engine computes, and the engine its results."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor, self.size = descriptor, size
        self.bytes = mmap(descriptor, size)
        self.free = [Region(0, size)]  # by offset; never two side by side

    def allocate(self, size: int) -> Region | None:
        """The first bytes that are free; None where there are not so many in one piece."""
        size = -(-size // ALIGNMENT) * ALIGNMENT
        for number, piece in enumerate(self.free):
            if piece.size >= size:
                region = Region(piece.offset, size)
                if piece.size == size:
                    del self.free[number]
                else:
                    self.free[number] = Region(piece.offset + size, piece.size - size)
                return region
        return None

    def release(self, region: Region) -> None:
        self.give_back(region)
        number = next((n for n, piece in enumerate(self.free) if piece.offset > region.offset), len(self.free))
        begin, end = region.offset, region.offset + region.size
        if number < len(self.free) and self.free[number].offset == end:
            end += self.free.pop(number).size
        if number and (before := self.free[number - 1]).offset + before.size == begin:
            begin = before.offset
            number -= 1
            del self.free[number]
        self.free.insert(number, Region(begin, end - begin))

    def give_back(self, region: Region) -> None:
        """Let the system have the pages of a large region."""
        if region.size < LARGE:
            return
        from mmap import MADV_REMOVE  # not on every system

        begin = -(-region.offset // ALLOCATIONGRANULARITY) * ALLOCATIONGRANULARITY
        end = (region.offset + region.size) // ALLOCATIONGRANULARITY * ALLOCATIONGRANULARITY
        self.bytes.madvise(MADV_REMOVE, begin, end - begin)

    def array(self, offset: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Bytes of it, not a copy."""
        return np.ndarray(shape, np.uint8, self.bytes, offset)
