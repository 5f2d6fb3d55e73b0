"""Built-in scenes of one to four digits on a canvas, for all tasks of several digits but sequences; no download."""

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
from vitrail.data.maps import map_canvases
from vitrail.data.source import PARTS, Part, Samples, canvases_of
from vitrail.data.subsets import rarest_label
from vitrail.images.canvas import InputRule
from vitrail.tasks.detection.predictions import NO_BOX
from vitrail.tasks.task import TaskName

SCENES: dict[Part, int] = {"train": 4000, "val": 500, "test": 1000}
SIDE, DIGIT = 24, 8  # pixels
CORNERS = ((0, 0), (0, SIDE // 2), (SIDE // 2, 0), (SIDE // 2, SIDE // 2))  # of the quadrants, one digit in each
SLACK = SIDE // 2 - DIGIT  # pixels between a digit and its corner, at most
NOTHING = 10

NAMES = tuple(str(digit) for digit in range(10))
VALUES = ("digits", "sum")
Maps = NDArray[np.uint8]  # [N, SIDE, SIDE], the digit whose square a pixel is in, or NOTHING
Boxes = NDArray[np.float32]  # [N, 4, 5], the digit, and left, top, right and bottom of its square as shares; or NO_BOX


@dataclass(frozen=True)
class Scenes:
    """Scenes of a part, and where their digits are."""

    grey: NDArray[np.uint8]  # [N, SIDE, SIDE]
    maps: Maps
    boxes: Boxes

    def __len__(self) -> int:
        return len(self.grey)

    def take(self, indices: NDArray[np.int64]) -> "Scenes":
        return Scenes(self.grey[indices], self.maps[indices], self.boxes[indices])


class DigitScenes:
    """Scenes of a part show digits of that part alone, so that no test digit is trained on."""

    width = None
    edges = 0

    def __init__(self, task: TaskName, seed: int = 0) -> None:
        self.name = f"digit-scenes-{task}"
        self.task = task
        self.variant = VARIANTS[task]
        self.classes = self.variant.classes
        self._scenes = {part: draw(part, seed) for part in PARTS}

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(
            b"".join(self._scenes[part].grey.tobytes() + self._scenes[part].maps.tobytes() for part in PARTS)
        ).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self.variant.strata(self._scenes[part])

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        return None

    def contents(self, part: Part) -> Contents:
        scenes = self._scenes[part]
        keys = row_keys(scenes.boxes if self.task == "detection" else scenes.maps)
        return Contents(names_of(part, np.arange(len(scenes))), row_keys(scenes.grey), keys)

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        indices = np.arange(len(self._scenes[part])) if chosen is None else chosen
        scenes = self._scenes[part].take(indices)
        images = canvases_of((Image.fromarray(grey).convert("RGB") for grey in scenes.grey), len(indices), rule)
        return Samples(images, self.variant.targets(scenes, rule), names_of(part, indices))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        indices = np.arange(len(self._scenes[part])) if chosen is None else chosen
        return self.variant.targets(self._scenes[part].take(indices), rule)

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return np.repeat(self._scenes[part].grey[index][..., None], 3, axis=2)

    def whole_map(self, part: Part, index: int) -> NDArray[Any]:
        labels = self._scenes[part].maps[index]
        return labels if self.task == "dense" else densities_of(labels)

    def file(self, part: Part, index: int) -> Path | None:
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None


@lru_cache(2 * len(PARTS))
def draw(part: Part, seed: int) -> Scenes:
    """The same scenes for each task."""
    digits = Digits(seed).read(part, InputRule(DIGIT))
    random = np.random.default_rng((seed, PARTS.index(part)))
    scenes = np.zeros((SCENES[part], SIDE, SIDE), np.uint8)
    maps = np.full_like(scenes, NOTHING)
    boxes = np.full((len(scenes), len(CORNERS), 5), NO_BOX, np.float32)
    for scene, labels, around in zip(scenes, maps, boxes, strict=True):
        for number, corner in enumerate(random.permutation(len(CORNERS))[: random.integers(1, len(CORNERS) + 1)]):
            top, left = random.integers(0, SLACK + 1, 2) + CORNERS[corner]
            shown = random.integers(len(digits))
            scene[top : top + DIGIT, left : left + DIGIT] = digits.images[shown, ..., 0]
            labels[top : top + DIGIT, left : left + DIGIT] = digits.labels[shown]
            box = np.array([left, top, left + DIGIT, top + DIGIT]) / SIDE
            around[number] = [digits.labels[shown], *box]
    for shared in (scenes, maps, boxes):
        shared.flags.writeable = False
    return Scenes(scenes, maps, boxes)


def names_of(part: Part, indices: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"{part} {i}" for i in indices)


def digits_in(maps: Maps) -> NDArray[np.int64]:
    """The number of each digit in a scene, [N, 10]."""
    pixels = np.stack([(maps == digit).sum(axis=(1, 2)) for digit in range(10)], axis=1)
    return pixels // DIGIT**2


def no_strata(scenes: Scenes) -> NDArray[np.int64]:
    return np.zeros(len(scenes), np.int64)


def label_strata(scenes: Scenes) -> NDArray[np.int64]:
    return rarest_label(digits_in(scenes.maps) > 0)


def label_targets(scenes: Scenes, rule: InputRule) -> NDArray[np.generic]:
    return (digits_in(scenes.maps) > 0).astype(np.uint8)


def value_targets(scenes: Scenes, rule: InputRule) -> NDArray[np.generic]:
    counts = digits_in(scenes.maps)
    return np.stack([counts.sum(axis=1), counts @ np.arange(10)], axis=1).astype(np.float32)


def map_targets(scenes: Scenes, rule: InputRule) -> NDArray[np.generic]:
    return np.stack([map_canvases(one, rule) for one in scenes.maps])


def density_targets(scenes: Scenes, rule: InputRule) -> NDArray[np.generic]:
    return np.stack([map_canvases(densities_of(one), rule) for one in scenes.maps])


def densities_of(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The values of the task regression spread over the pixels of their digits: digits, and their sum, a pixel."""
    shown = labels != NOTHING
    return np.stack([shown, shown * labels.astype(float)]).astype(np.float32) / np.float32(DIGIT**2)


def box_targets(scenes: Scenes, rule: InputRule) -> NDArray[np.generic]:
    return scenes.boxes


@dataclass(frozen=True)
class Variant:
    """The targets of the scenes for one task."""

    classes: tuple[str, ...]
    targets: Callable[[Scenes, InputRule], NDArray[np.generic]]
    strata: Callable[[Scenes], NDArray[np.int64]] = no_strata


VARIANTS: dict[TaskName, Variant] = {
    "multilabel": Variant(NAMES, label_targets, label_strata),
    "regression": Variant(VALUES, value_targets),
    "dense": Variant((*NAMES, "nothing"), map_targets),
    "dense-regression": Variant(VALUES, density_targets),
    "detection": Variant(NAMES, box_targets, label_strata),
}
SCENE_SETS: dict[str, TaskName] = {f"digit-scenes-{task}": task for task in VARIANTS}
