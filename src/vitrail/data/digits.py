"""The built-in set: scikit-learn's 1,797 handwritten digits, 8×8 grey; no download."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, row_keys
from vitrail.data.source import Part, Samples, canvases_of
from vitrail.data.subsets import three_parts
from vitrail.images.canvas import InputRule
from vitrail.tasks.task import TaskName


class Digits:
    """Ten classes; `seed` decides the test part and the validation part, a fifth each."""

    name = "digits"
    task: TaskName = "classification"
    classes = tuple(str(digit) for digit in range(10))

    def __init__(self, seed: int = 0) -> None:
        from sklearn.datasets import load_digits  # here, so that other sets need no scikit-learn

        grey, labels = load_digits(return_X_y=True)
        self._labels: NDArray[np.int64] = labels.astype(np.int64)
        self._grey = np.round(grey.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
        self._parts = three_parts(self._labels, seed)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._grey.tobytes() + self._labels.astype("<i8").tobytes()).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self._labels[self._parts[part]]

    def contents(self, part: Part) -> Contents:
        indices = self._parts[part]
        return Contents(names_of(indices), row_keys(self._grey[indices]), row_keys(self._labels[indices]))

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        indices = self._parts[part] if chosen is None else self._parts[part][chosen]
        images = (Image.fromarray(grey).convert("RGB") for grey in self._grey[indices])
        return Samples(canvases_of(images, len(indices), rule), self._labels[indices], names_of(indices))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        indices = self._parts[part] if chosen is None else self._parts[part][chosen]
        return self._labels[indices]

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return np.repeat(self._grey[self._parts[part][index]][..., None], 3, axis=2)

    def file(self, part: Part, index: int) -> Path | None:
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None


def names_of(indices: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"digit {i}" for i in indices)
