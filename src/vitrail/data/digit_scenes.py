"""Built-in scenes of one to four digits on a canvas, for three tasks: multilabel, regression and dense; no download."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, row_keys
from vitrail.data.digits import Digits
from vitrail.data.maps import map_canvas
from vitrail.data.source import PARTS, Part, Samples, canvases_of
from vitrail.data.subsets import rarest_label
from vitrail.images.canvas import InputRule
from vitrail.tasks.task import TaskName

SCENES: dict[Part, int] = {"train": 4000, "val": 500, "test": 1000}
SIDE, DIGIT = 24, 8  # pixels
CORNERS = ((0, 0), (0, SIDE // 2), (SIDE // 2, 0), (SIDE // 2, SIDE // 2))  # of the quadrants, one digit in each
SLACK = SIDE // 2 - DIGIT  # pixels between a digit and its corner, at most
NOTHING = 10

NAMES = tuple(str(digit) for digit in range(10))
Maps = NDArray[np.uint8]  # [N, SIDE, SIDE], the digit whose square a pixel is in, or NOTHING


class DigitScenes:
    """Scenes of a part show digits of that part alone, so that no test digit is trained on."""

    def __init__(self, task: TaskName, seed: int = 0) -> None:
        self.name = f"digit-scenes-{task}"
        self.task = task
        self.variant = VARIANTS[task]
        self.classes = self.variant.classes
        drawn = {part: draw(part, seed) for part in PARTS}
        self._grey = {part: scenes for part, (scenes, _) in drawn.items()}
        self._maps = {part: maps for part, (_, maps) in drawn.items()}

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(
            b"".join(self._grey[part].tobytes() + self._maps[part].tobytes() for part in PARTS)
        ).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.variant.strata(self._maps[part])

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        return None

    def contents(self, part: Part) -> Contents:
        scenes, maps = self._grey[part], self._maps[part]
        return Contents(names_of(part, np.arange(len(scenes))), row_keys(scenes), row_keys(maps))

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        indices = np.arange(len(self._grey[part])) if chosen is None else chosen
        scenes = (Image.fromarray(grey).convert("RGB") for grey in self._grey[part][indices])
        images = canvases_of(scenes, len(indices), rule)
        return Samples(images, self.variant.targets(self._maps[part][indices], rule), names_of(part, indices))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        indices = np.arange(len(self._grey[part])) if chosen is None else chosen
        return self.variant.targets(self._maps[part][indices], rule)

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return np.repeat(self._grey[part][index][..., None], 3, axis=2)

    def whole_map(self, part: Part, index: int) -> NDArray[np.uint8]:
        whole: NDArray[np.uint8] = self._maps[part][index]
        return whole

    def file(self, part: Part, index: int) -> Path | None:
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None


@lru_cache(2 * len(PARTS))
def draw(part: Part, seed: int) -> tuple[NDArray[np.uint8], Maps]:
    """Scenes [N, SIDE, SIDE] and their maps, the same for each task."""
    digits = Digits(seed).read(part, InputRule(DIGIT))
    random = np.random.default_rng((seed, PARTS.index(part)))
    scenes = np.zeros((SCENES[part], SIDE, SIDE), np.uint8)
    maps = np.full_like(scenes, NOTHING)
    for scene, labels in zip(scenes, maps, strict=True):
        for corner in random.permutation(len(CORNERS))[: random.integers(1, len(CORNERS) + 1)]:
            top, left = random.integers(0, SLACK + 1, 2) + CORNERS[corner]
            shown = random.integers(len(digits))
            scene[top : top + DIGIT, left : left + DIGIT] = digits.images[shown, ..., 0]
            labels[top : top + DIGIT, left : left + DIGIT] = digits.labels[shown]
    for shared in (scenes, maps):
        shared.flags.writeable = False
    return scenes, maps


def names_of(part: Part, indices: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"{part} {i}" for i in indices)


def digits_in(maps: Maps) -> NDArray[np.int64]:
    """The number of each digit in a scene, [N, 10]."""
    pixels = np.stack([(maps == digit).sum(axis=(1, 2)) for digit in range(10)], axis=1)
    return pixels // DIGIT**2


def no_strata(maps: Maps) -> NDArray[np.int64]:
    return np.zeros(len(maps), np.int64)


def label_strata(maps: Maps) -> NDArray[np.int64]:
    return rarest_label(digits_in(maps) > 0)


def label_targets(maps: Maps, rule: InputRule) -> NDArray[np.generic]:
    return (digits_in(maps) > 0).astype(np.uint8)


def value_targets(maps: Maps, rule: InputRule) -> NDArray[np.generic]:
    counts = digits_in(maps)
    return np.stack([counts.sum(axis=1), counts @ np.arange(10)], axis=1).astype(np.float32)


def map_targets(maps: Maps, rule: InputRule) -> NDArray[np.generic]:
    return np.stack([map_canvas(Image.fromarray(one), rule) for one in maps])


@dataclass(frozen=True)
class Variant:
    """The targets of the scenes for one task."""

    classes: tuple[str, ...]
    targets: Callable[[Maps, InputRule], NDArray[np.generic]]
    strata: Callable[[Maps], NDArray[np.int64]] = no_strata


VARIANTS: dict[TaskName, Variant] = {
    "multilabel": Variant(NAMES, label_targets, label_strata),
    "regression": Variant(("digits", "sum"), value_targets),
    "dense": Variant((*NAMES, "nothing"), map_targets),
}
SCENE_SETS: dict[str, TaskName] = {f"digit-scenes-{task}": task for task in VARIANTS}
