"""The embedded set: scikit-learn's 1,797 handwritten digits, 8×8 grey; no download."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from vitrail.card import InputRule, TaskName
from vitrail.data.source import Part, Pictures
from vitrail.data.subsets import three_parts
from vitrail.images import to_canvas


class Digits:
    """Ten classes; `seed` decides which fifth is the test part and which validates."""

    name = "digits"
    task: TaskName = "classification"
    classes = tuple(str(digit) for digit in range(10))

    def __init__(self, seed: int = 0) -> None:
        grey, labels = load_digits(return_X_y=True)
        self._labels: NDArray[np.int64] = labels.astype(np.int64)
        self._grey = np.round(grey.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
        self._parts = three_parts(self._labels, seed)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._grey.tobytes() + self._labels.astype("<i8").tobytes()).hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self._labels[self._parts[part]]

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Pictures:
        indices = self._parts[part] if chosen is None else self._parts[part][chosen]
        pictures = [Image.fromarray(grey).convert("RGB") for grey in self._grey[indices]]
        images = np.stack([to_canvas(picture, rule) for picture in pictures])
        return Pictures(images, self._labels[indices], tuple(f"digit {i}" for i in indices))

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        return np.repeat(self._grey[self._parts[part][index]][..., None], 3, axis=2)
