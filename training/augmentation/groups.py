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
    parts = images.index_select(0, there).split(counts.tolist())
    moving = [None] * len(changes) if maps is None else maps.index_select(0, there).split(counts.tolist())
    positions = np.split(order, counts.cumsum()[:-1])
    changed = [
        change(*group) for change, *group in zip(changes, parts, moving, positions, strict=True) if len(group[0])
    ]
    moved = [part for _, part in changed if part is not None]
    return torch.cat([part for part, _ in changed]).index_select(0, back), (
        None if maps is None else torch.cat(moved).index_select(0, back)
    )


def unchanged(images: Tensor, maps: Tensor | None, positions: NDArray[np.int64]) -> Augmented:
    return images, maps
