"""The set `same-different`: two random patterns of equal ink; whether they are equal is in neither of them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vitrail.data.draws import Draws
from vitrail.data.procedural.generator import Generator, Grey

SIDE = 32
CELLS = 4  # a pattern has CELLS × CELLS cells, half of them filled
CELL = 2  # pixels
STEP = 4  # pixels; patterns stand on a grid
LEVELS = (32.0, 223.0)
CONTRAST = 64.0  # grey levels between ink and ground, at least

CLASSES = ("different", "same")


def draw(draws: Draws, labels: NDArray[np.int64]) -> Grey:
    """Images [B, SIDE, SIDE]; the first pattern is drawn alike for both classes, and so is the second."""
    first, second = (pattern(draws.fork(stream)) for stream in (0, 1))
    second[(second == first).all(axis=1)] ^= True  # equal by chance: the complement has as much ink
    second = np.where(labels[:, None] == 1, first, second)
    places = pairs()
    numbers = draws.fork(2).uniform(3)
    chosen = places[(numbers[:, 0] * len(places)).astype(np.int64)]
    ink, ground = levels(numbers[:, 1], numbers[:, 2])
    images = np.repeat(ground, SIDE**2).reshape(-1, SIDE, SIDE)
    rows, span = np.arange(len(labels))[:, None, None], np.arange(CELLS * CELL)
    for cells, corner in ((first, chosen[:, :2]), (second, chosen[:, 2:])):
        shown = cells.reshape(-1, CELLS, CELLS).repeat(CELL, axis=1).repeat(CELL, axis=2)
        down, across = corner[:, :1] + span, corner[:, 1:] + span
        images[rows, down[:, :, None], across[:, None, :]] = np.where(shown, ink[:, None, None], ground[:, None, None])
    return images


def pattern(draws: Draws) -> NDArray[np.bool_]:
    """Which cells are filled, [B, CELLS²]: half of them, every choice equally likely."""
    ranks = draws.uniform(CELLS**2).argsort(axis=1).argsort(axis=1)
    filled: NDArray[np.bool_] = ranks < CELLS**2 // 2
    return filled


def levels(one: NDArray[np.float64], two: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The grey of ink and ground, at least CONTRAST apart; either may be the lighter."""
    low, high = LEVELS
    ink = low + one * (high - low)
    room = np.maximum(ink - CONTRAST - low, 0), np.maximum(high - CONTRAST - ink, 0)  # below the ink, and above it
    place = two * (room[0] + room[1])
    ground = np.where(place < room[0], low + place, ink + CONTRAST + place - room[0])
    return np.round(ink).astype(np.uint8), np.round(ground).astype(np.uint8)


@cache
def pairs() -> NDArray[np.int64]:
    """Every two places of patterns that neither overlap nor touch: top and left of both, [M, 4]."""
    starts = np.arange(0, SIDE - CELLS * CELL + 1, STEP)
    places = np.stack(np.meshgrid(starts, starts, indexing="ij"), axis=-1).reshape(-1, 2)
    apart = np.abs(places[:, None] - places[None]).max(axis=-1) > CELLS * CELL
    one, two = np.nonzero(apart)
    return np.concatenate([places[one], places[two]], axis=1)


SAME_DIFFERENT = Generator("same-different", 1, CLASSES, draw)
