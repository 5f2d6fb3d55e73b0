"""The built-in set: scikit-learn's 1,797 handwritten digits, 8×8 grey; no download."""

import numpy as np

from vitrail.data.items import Items
from vitrail.data.listed import GreySource, numbered
from vitrail.data.targets import Labels


class Digits(GreySource):
    """Ten classes; `seed` decides the test part and the validation part, a fifth each."""

    name = "digits"
    classes = tuple(str(digit) for digit in range(10))

    def __init__(self, seed: int = 0) -> None:
        from sklearn.datasets import load_digits

        grey, labels = load_digits(return_X_y=True)
        pixels = np.round(grey.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
        targets = Labels(self.classes, labels.astype(np.int64))
        super().__init__(self.name, pixels, Items(numbered("digit", len(pixels)), targets), seed)
