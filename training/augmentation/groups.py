"""Images of a batch in groups, each of which is changed as a whole."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitrail.training.augmentation.batch_transform import Augmented

# From images [n, 3, H, W], their maps and their positions [n] in the batch.
Change = Callable[[Tensor, Tensor | None, NDArray[np.int64]], Augmented]


def in_groups(images: Tensor, maps: Tensor | None, groups: NDArray[np.int64], changes: Sequence[Change]) -> Augmented:
    """Each image through the change of its group [B]; the order stays."""
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups, minlength=len(changes))
    there, back = (torch.from_numpy(rows).to(images.device) for rows in (order, np.argsort(order)))
    images, maps = images.index_select(0, there), None if maps is None else maps.index_select(0, there)
    ends = counts.cumsum()
    for change, start, end in zip(changes, ends - counts, ends, strict=True):
        if start < end:
            labels = None if maps is None else maps[start:end]
            changed, moved = change(images[start:end], labels, order[start:end])
            images[start:end] = changed
            if labels is not None and moved is not None:
                labels.copy_(moved)
    return images.index_select(0, back), None if maps is None else maps.index_select(0, back)


def unchanged(images: Tensor, maps: Tensor | None, positions: NDArray[np.int64]) -> Augmented:
    return images, maps
