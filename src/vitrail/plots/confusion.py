"""What a classifier confuses, as tables: pairs of classes, and the whole matrix in shades."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitrail.plots.blocks import table
from vitrail.plots.markup import element, text

PAIRS_CAPTION = "Most often confused"
MATRIX_CAPTION = "Rows are what images show, columns what the model says"


def pairs_table(pairs: Sequence[tuple[str, str, int]]) -> str:
    """Class, the class that it is taken for, and of how many images."""
    rows = [[text(true), text(predicted), f"{count:,}"] for true, predicted, count in pairs]
    return table(["is", "taken for", "images"], rows, words=2, caption=PAIRS_CAPTION)


def matrix_table(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    """Counts [K, K] of images by their class and the predicted one; a cell is as dark as its share of the row."""
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    rows = [
        [text(name), *(shaded(int(counts[i, j]), float(share[i, j])) for j in range(len(names)))]
        for i, name in enumerate(names)
    ]
    return table(["", *map(text, names)], rows, caption=MATRIX_CAPTION)


def shaded(count: int, share: float) -> str:
    return element("span", str(count) if count else "", class_="cell", style=f"--share: {share:.2f}")
