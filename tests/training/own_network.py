"""An architecture as a user writes one, copied into the folder that a test runs in."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vitrail.models import Architecture


class Net(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        self.head = nn.Linear(width, classes)

    def forward_features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.stem(pixels)
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        pooled = features.amax(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, pixels: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(pixels))


@dataclass(frozen=True)
class Own(Architecture):
    """Two convolutions.

    Args:
        width: channels.
    """

    width: int = 8

    def build(self, classes: int, image_size: int, task: Any = "classification") -> nn.Module:
        return Net(self.width, classes)


@dataclass(frozen=True)
class Bare(Own):
    """A network without the methods of timm."""

    def build(self, classes: int, image_size: int, task: Any = "classification") -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, classes))
