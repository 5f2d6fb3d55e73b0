"""What all transforms of whole batches have in common."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitrail.data.draws import Draws
from vitrail.errors import UsageError

Augmented = tuple[Tensor, Tensor | None]  # images, and their maps in dense tasks


class BatchTransform(nn.Module, ABC):
    """A random change of all images of a batch at once; the result of one depends on no other.

    Images are uint8 [B, 3, H, W], on any device, and are not changed in place. Maps are uint8 [B, H, W], or
    float32 [B, K, H, W] of values: a transform that moves pixels moves them alike, and 255, or NaN, fills the gaps.
    """

    @abstractmethod
    def forward(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented: ...


def per_image(numbers: NDArray[np.float64], device: torch.device) -> Tensor:
    """[n] → float32 [n, 1, 1, 1], to calculate with images."""
    return torch.from_numpy(numbers.astype(np.float32)).to(device).view(-1, 1, 1, 1)


def between(low: float, high: float, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers from 0 to 1, scaled to this range."""
    return low + (high - low) * uniform


def checked_probability(p: float) -> float:
    if not 0 <= p <= 1:
        raise UsageError(f"p is the probability of a transform, from 0 to 1, not {p}")
    return p
