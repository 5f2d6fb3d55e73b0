"""By what images are kept in proportion where they have no single class."""

import numpy as np
from numpy.typing import NDArray


def rarest_label(labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of several labels an image [N, K], its rarest, [N]; K where it has none. So each rare label gets its share."""
    count = labels.sum(axis=0)
    order = np.argsort(count, kind="stable")  # the rarest first
    first = labels[:, order].argmax(axis=1)
    rarest: NDArray[np.int64] = np.where(labels.any(axis=1), order[first], labels.shape[1])
    return rarest
