"""Built-in rows of one to three digits, to be read from left to right; no download."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from vitrail.data.digits import Digits
from vitrail.data.items import Items
from vitrail.data.listed import GreySource
from vitrail.data.names import Names
from vitrail.data.source import PARTS, Part
from vitrail.data.targets import Sequences
from vitrail.images.canvas import InputRule

ROWS: dict[Part, int] = {"train": 8000, "val": 500, "test": 1000}
SIDE, DIGIT, LONGEST = 28, 8, 3  # pixels, pixels, digits
JITTER = 2  # pixels between the top of a digit and that of its row, at most

Grey = NDArray[np.uint8]  # [N, SIDE, SIDE]
Numbers = NDArray[np.int64]


class DigitRows(GreySource):
    """Rows of a part show digits of that part alone, so that no test digit is trained on."""

    name = "digit-rows"

    def __init__(self, seed: int = 0) -> None:
        drawn = [draw(part, seed) for part in PARTS]
        grey = np.concatenate([rows for rows, _, _ in drawn])
        counts = np.concatenate([counts for _, counts, _ in drawn])
        codes = np.concatenate([codes for _, _, codes in drawn])
        names = Names.of(f"{part} {i}" for part in PARTS for i in range(ROWS[part]))
        targets = Sequences(Digits.classes, codes, np.concatenate([[0], np.cumsum(counts)]))
        parts = np.repeat(np.arange(len(PARTS), dtype=np.int8), [ROWS[part] for part in PARTS])
        super().__init__(self.name, grey, Items(names, targets, parts), seed)
        self._digest = hashlib.sha256(grey.tobytes() + codes.astype("<i8").tobytes()).hexdigest()

    @property
    def fingerprint(self) -> str:
        return self._digest


def draw(part: Part, seed: int) -> tuple[Grey, Numbers, Numbers]:
    """Rows, the number of digits in each, and the digits of all of them in their order."""
    digits = Digits(seed).read(part, InputRule(DIGIT))
    random = np.random.default_rng((seed, PARTS.index(part)))
    rows = np.zeros((ROWS[part], SIDE, SIDE), np.uint8)
    counts, codes = random.integers(1, LONGEST + 1, len(rows)), []
    for row, count in zip(rows, counts.tolist(), strict=True):
        lefts = np.sort(random.integers(0, SIDE - count * DIGIT + 1, count)) + DIGIT * np.arange(count)
        tops = random.integers(0, SIDE - DIGIT - JITTER + 1) + random.integers(0, JITTER + 1, count)
        for top, left, shown in zip(tops, lefts, random.integers(len(digits), size=count), strict=True):
            row[top : top + DIGIT, left : left + DIGIT] = digits.images[shown, ..., 0]
            codes.append(digits.labels[shown])
    return rows, counts, np.array(codes, np.int64)
