"""Networks: pixels to logits; built on timm."""

from vitrail.models.architecture import Architecture
from vitrail.models.cnn import CNN
from vitrail.models.own_network import OwnNetwork
from vitrail.models.transformers_models import Transformers
from vitrail.models.vit import ViT

__all__ = ["CNN", "Architecture", "OwnNetwork", "Transformers", "ViT"]
