"""The most probable labels of a row, in order."""

from collections.abc import Sequence
from heapq import nlargest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import UsageError


def ranked(probabilities: NDArray[np.float32], names: Sequence[str], top_k: int) -> list[dict[str, Any]]:
    """One row of probabilities [K] as its `top_k` labels, the most probable first."""
    count = len(names)
    if not 1 <= top_k <= count:
        raise UsageError(f"top_k must lie between 1 and {count}, the number of classes; it is {top_k}")
    numbers = probabilities.tolist()  # numpy would let go of the interpreter to sort a handful
    order = nlargest(top_k, range(count), key=numbers.__getitem__)
    return [{"label": names[i], "index": i, "probability": numbers[i]} for i in order]


def in_words(labels: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['label']} {one['probability']:.3f}" for one in labels)
