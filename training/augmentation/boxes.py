"""Rectangles in images: top, left, bottom and right edges [n, 4], in pixels."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def inside(boxes: NDArray[np.int64], height: int, width: int, device: torch.device) -> Tensor:
    """Whether a pixel is in the box of its image: bool [n, 1, H, W]."""
    top, left, bottom, right = torch.from_numpy(boxes).to(device).T[..., None]
    down, across = (torch.arange(side, device=device) for side in (height, width))
    rows, columns = (top <= down) & (down < bottom), (left <= across) & (across < right)
    both: Tensor = rows[:, :, None] & columns[:, None, :]
    return both[:, None]
