"""MixUp and CutMix: each image of a batch takes a share of the image before it, and of its target."""

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor, nn

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.training.augmentation.batch_transform import per_image
from vitrail.training.augmentation.boxes import inside


def mixing_of(mixup: float, cutmix: float, num_classes: int) -> "Mixing | None":
    """What these two α ask for; 0 leaves one out."""
    if mixup and cutmix:
        return MixUpOrCutMix(mixup, cutmix, num_classes=num_classes)
    if mixup:
        return MixUp(mixup, num_classes=num_classes)
    return CutMix(cutmix, num_classes=num_classes) if cutmix else None


class Mixing(nn.Module, ABC):
    """An image's partner is the one before it in the batch, the first one's the last; all else it draws itself."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, pixels: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Normalised pixels [B, 3, H, W], and classes [B] or labels [B, K], which become shares [B, K]."""
        shares = self.shares(draws, pixels)
        own = F.one_hot(targets, self.num_classes) if targets.ndim == 1 else targets
        return mixed(pixels, shares), mixed(own.float(), shares.flatten(1).mean(dim=1, keepdim=True))

    @abstractmethod
    def shares(self, draws: Draws, pixels: Tensor) -> Tensor:
        """How much of each pixel stays: [B, 1, H, W] or [B, 1, 1, 1]."""


class MixUp(Mixing):
    """Every pixel is a blend of both images, with a share λ drawn from Beta(α, α)."""

    def __init__(self, alpha: float = 1.0, *, num_classes: int) -> None:
        super().__init__(num_classes)
        self.alpha = checked_alpha(alpha)

    def shares(self, draws: Draws, pixels: Tensor) -> Tensor:
        return per_image(beta(self.alpha, draws), pixels.device)


class CutMix(Mixing):
    """A rectangle is that of the other image; its share of the image is 1 - λ, before the border cuts it."""

    def __init__(self, alpha: float = 1.0, *, num_classes: int) -> None:
        super().__init__(num_classes)
        self.alpha = checked_alpha(alpha)

    def shares(self, draws: Draws, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        return (~inside(cuts(self.alpha, draws, height, width), height, width, pixels.device)).float()


class MixUpOrCutMix(Mixing):
    """One of the two for each image, with equal chances."""

    def __init__(self, mixup: float, cutmix: float, *, num_classes: int) -> None:
        super().__init__(num_classes)
        self.mixup, self.cutmix = MixUp(mixup, num_classes=num_classes), CutMix(cutmix, num_classes=num_classes)

    def shares(self, draws: Draws, pixels: Tensor) -> Tensor:
        cut = torch.from_numpy(draws.uniform(1) < 0.5).to(pixels.device)[:, :, None, None]
        return torch.where(cut, self.cutmix.shares(draws.fork(0), pixels), self.mixup.shares(draws.fork(1), pixels))


def mixed(tensor: Tensor, shares: Tensor) -> Tensor:
    """These shares of a batch, and the rest from the element before."""
    return torch.lerp(tensor.roll(1, 0), tensor, shares)


def beta(alpha: float, draws: Draws) -> NDArray[np.float64]:
    """[B], from Beta(α, α)."""
    numbers: NDArray[np.float64] = betaincinv(alpha, alpha, draws.uniform(1)[:, 0])
    return numbers


def cuts(alpha: float, draws: Draws, height: int, width: int) -> NDArray[np.int64]:
    """Boxes [B, 4] of the image's shape, about any of its pixels, as torchvision draws them."""
    side = np.sqrt(1 - beta(alpha, draws.fork(0))) / 2
    sides = np.array([height, width])
    centres = np.floor(draws.fork(1).uniform(2) * sides)
    halves = np.floor(side[:, None] * sides)
    edges = np.concatenate([centres - halves, centres + halves], axis=1)
    return edges.clip(0, np.tile(sides, 2)).astype(np.int64)


def checked_alpha(alpha: float) -> float:
    if alpha <= 0:
        raise UsageError(f"α of Beta(α, α) is above 0, not {alpha}")
    return alpha
