"""Images with structure, maps, numbers and every transform, for the tests of augmentation."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.training.augmentation import (
    BatchTransform,
    ColorJitter,
    Erasing,
    HorizontalFlip,
    RandAugment,
    Shift,
    ThreeAugment,
    TrivialAugment,
    VerticalFlip,
)

HEIGHT, WIDTH = 22, 27
TRANSFORMS: dict[str, BatchTransform] = {
    "HorizontalFlip": HorizontalFlip(),
    "VerticalFlip": VerticalFlip(),
    "Shift": Shift(4),
    "Erasing": Erasing(p=0.7),
    "noise": Erasing(p=0.7, value="random"),
    "RandAugment": RandAugment(num_ops=6, magnitude=9, num_magnitude_bins=11, mstd=0.5),
    "TrivialAugment": TrivialAugment(),
    "ThreeAugment": ThreeAugment(),
    "ColorJitter": ColorJitter(0.4, 0.4, 0.4, 0.2),
}


def images(count: int = 16) -> Tensor:
    """uint8 [count, 3, HEIGHT, WIDTH]: smooth, with noise; the first is one colour, the second has two."""
    random = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.randn(count, 3, 4, 4, generator=random), size=(HEIGHT, WIDTH), mode="bicubic")
    noise = torch.randn(count, 3, HEIGHT, WIDTH, generator=random)
    out = (128 + 60 * smooth + 8 * noise).clamp(0, 255).to(torch.uint8)
    out[0] = torch.tensor([200, 10, 10], dtype=torch.uint8).view(3, 1, 1)
    out[1] = torch.where(out[1] > 128, 255, 0)
    return out


def maps(count: int = 16) -> Tensor:
    """uint8 [count, HEIGHT, WIDTH] of classes 0 to 4."""
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 5, (count, HEIGHT, WIDTH), dtype=torch.uint8, generator=random)


def draws(count: int = 16, epoch: int = 0) -> Draws:
    return Draws.of(0, epoch, np.arange(count))


def furthest(ours: Tensor, theirs: Tensor) -> int:
    """The largest difference between two images."""
    return int((ours.to(torch.int16) - theirs.to(torch.int16)).abs().max())
