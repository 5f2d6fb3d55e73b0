"""Networks: pixels to logits; built on timm."""

from vitrail.models.architecture import Architecture
from vitrail.models.cnn import CNN
from vitrail.models.vit import ViT

__all__ = ["CNN", "Architecture", "ViT"]
