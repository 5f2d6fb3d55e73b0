"""Embedded scenes: one to four digits on a canvas, asked for as labels, as values or place by place; no download."""

import hashlib
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, row_keys
from vitrail.data.digits import Digits
from vitrail.data.maps import map_canvas
from vitrail.data.source import PARTS, Part, Samples, canvases_of
from vitrail.data.strata import rarest_label
from vitrail.images.canvas import InputRule
from vitrail.tasks.task import TaskName

SCENES: dict[Part, int] = {"train": 4000, "val": 500, "test": 1000}
SIDE, DIGIT = 24, 8  # pixels
CORNERS = ((0, 0), (0, SIDE // 2), (SIDE // 2, 0), (SIDE // 2, SIDE // 2))  # of the quarters, one digit in each
SLACK = SIDE // 2 - DIGIT  # pixels that a digit may lie away from its corner
NOTHING = 10

NAMES = tuple(str(digit) for digit in range(10))
CLASSES: dict[TaskName, tuple[str, ...]] = {
    "multilabel": NAMES,
    "regression": ("digits", "sum"),
    "dense": (*NAMES, "nothing"),
}


class DigitScenes:
    """Scenes of a part show digits of that part alone, so that no test digit was learnt from."""

    def __init__(self, task: TaskName, seed: int = 0) -> None:
        self.name = f"digit-scenes-{task}"
        self.task = task
        self.classes = CLASSES[task]
        drawn = {part: draw(part, seed) for part in PARTS}
        self._grey = {part: scenes for part, (scenes, _) in drawn.items()}
        self._maps = {part: maps for part, (_, maps) in drawn.items()}

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(
            b"".join(self._grey[part].tobytes() + self._maps[part].tobytes() for part in PARTS)
        ).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        if self.task == "multilabel":
            return rarest_label(digits_in(self._maps[part]) > 0)
        return np.zeros(len(self._maps[part]), np.int64)

    def contents(self, part: Part) -> Contents:
        scenes, maps = self._grey[part], self._maps[part]
        return Contents(names_of(part, np.arange(len(scenes))), row_keys(scenes), row_keys(maps))

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        indices = np.arange(len(self._grey[part])) if chosen is None else chosen
        scenes = (Image.fromarray(grey).convert("RGB") for grey in self._grey[part][indices])
        images = canvases_of(scenes, len(indices), rule)
        return Samples(images, self._targets(self._maps[part][indices], rule), names_of(part, indices))

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        return np.repeat(self._grey[part][index][..., None], 3, axis=2)

    def _targets(self, maps: NDArray[np.uint8], rule: InputRule) -> NDArray[np.generic]:
        if self.task == "dense":
            return np.stack([map_canvas(Image.fromarray(one), rule) for one in maps])
        counts = digits_in(maps)
        if self.task == "multilabel":
            return (counts > 0).astype(np.uint8)
        return np.stack([counts.sum(axis=1), counts @ np.arange(10)], axis=1).astype(np.float32)


def draw(part: Part, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scenes [N, SIDE, SIDE] and their maps: the digit whose square a pixel lies in, or NOTHING."""
    digits = Digits(seed).read(part, InputRule(DIGIT))
    random = np.random.default_rng((seed, PARTS.index(part)))
    scenes = np.zeros((SCENES[part], SIDE, SIDE), np.uint8)
    maps = np.full_like(scenes, NOTHING)
    for scene, places in zip(scenes, maps, strict=True):
        for corner in random.permutation(len(CORNERS))[: random.integers(1, len(CORNERS) + 1)]:
            top, left = random.integers(0, SLACK + 1, 2) + CORNERS[corner]
            shown = random.integers(len(digits))
            scene[top : top + DIGIT, left : left + DIGIT] = digits.images[shown, ..., 0]
            places[top : top + DIGIT, left : left + DIGIT] = digits.labels[shown]
    return scenes, maps


def names_of(part: Part, indices: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"{part} {i}" for i in indices)


def digits_in(maps: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many of each digit [N, 10] a scene shows."""
    pixels = np.stack([(maps == digit).sum(axis=(1, 2)) for digit in range(10)], axis=1)
    return pixels // DIGIT**2
