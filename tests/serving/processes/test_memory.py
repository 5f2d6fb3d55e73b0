"""Regions of an arena never overlap, and all of it is free again once they are released."""

import os
import random
from itertools import pairwise

import pytest

from vitrail.serving.processes.memory import ALIGNMENT, LARGE, Arena, Region, create


def arena(size: int) -> Arena:
    descriptor = create(size)
    try:
        return Arena(descriptor, size)
    finally:
        os.close(descriptor)  # the memory stays


@pytest.mark.parametrize("seed", range(5))
def test_regions_never_overlap_and_no_byte_is_lost(seed: int) -> None:
    draw = random.Random(seed)
    memory = arena(100 * ALIGNMENT)
    used: list[Region] = []
    full = 0
    for _ in range(3000):
        if used and draw.random() < 0.5:
            memory.release(used.pop(draw.randrange(len(used))))
        elif region := memory.allocate(draw.randint(1, 20 * ALIGNMENT)):
            used.append(region)
        else:
            full += 1
        pieces = sorted([*used, *memory.free], key=lambda piece: piece.offset)
        assert all(first.offset + first.size == second.offset for first, second in pairwise(pieces))
        assert sum(piece.size for piece in pieces) == 100 * ALIGNMENT
        assert all(first.offset + first.size < second.offset for first, second in pairwise(memory.free))
    assert full > 10
    for region in used:
        memory.release(region)
    assert [(piece.offset, piece.size) for piece in memory.free] == [(0, 100 * ALIGNMENT)]


def test_two_maps_of_a_descriptor_are_the_same_memory() -> None:
    descriptor = create(4096)
    first, second = Arena(descriptor, 4096), Arena(descriptor, 4096)
    os.close(descriptor)
    first.array(64, (2, 3))[:] = [[1, 2, 3], [4, 5, 6]]
    assert second.array(64, (6,)).tolist() == [1, 2, 3, 4, 5, 6]


def test_a_large_region_gives_its_pages_back() -> None:
    size = 64 * LARGE
    descriptor = create(size)
    memory = Arena(descriptor, size)
    region = memory.allocate(32 * LARGE)
    assert region is not None
    memory.array(region.offset, (region.size,))[:] = 1
    assert 512 * os.fstat(descriptor).st_blocks >= 32 * LARGE
    memory.release(region)
    assert 512 * os.fstat(descriptor).st_blocks < LARGE
    os.close(descriptor)


def test_an_arena_that_is_full_says_so() -> None:
    memory = arena(10 * ALIGNMENT)
    assert memory.allocate(11 * ALIGNMENT) is None
    regions = [memory.allocate(ALIGNMENT) for _ in range(10)]
    assert memory.allocate(1) is None
    middle = regions[5]
    assert middle is not None
    memory.release(middle)
    assert memory.allocate(ALIGNMENT) is not None
