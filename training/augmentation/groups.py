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
    ends = counts.cumsum()
    there = torch.from_numpy(order).to(images.device)
    out, out_maps = images.clone(), None if maps is None else maps.clone()
    for change, start, end in zip(changes, ends - counts, ends, strict=True):
        if start == end or change is unchanged:
            continue
        rows = there[start:end]
        labels = None if maps is None else maps.index_select(0, rows)
        changed, moved = change(images.index_select(0, rows), labels, order[start:end])
        put(out, rows, changed)
        if out_maps is not None and moved is not None:
            put(out_maps, rows, moved)
    return out, out_maps


def put(out: Tensor, rows: Tensor, values: Tensor) -> None:
    """`out[rows] = values`; on a CPU torch copies bytes one by one, 40 times as slowly as numpy."""
    if out.device.type == "cpu":
        out.numpy()[rows.numpy()] = values.numpy()
    else:
        out.index_copy_(0, rows, values)


def unchanged(images: Tensor, maps: Tensor | None, positions: NDArray[np.int64]) -> Augmented:
    return images, maps
