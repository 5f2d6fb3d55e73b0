"""The rival: a CNN, timm's by name or a small one for small pictures."""

from dataclasses import dataclass

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from vitrail.errors import UsageError
from vitrail.models.architecture import Architecture
from vitrail.models.named import named, refuse_weights_without_name
from vitrail.models.small_cnn import SmallCNN


@dataclass(frozen=True)
class CNN(Architecture):
    """A residual CNN: timm's ResNets and ConvNeXts by name, else a small one with a 3×3 stem.

    Args:
        name: any CNN of timm, such as resnet50 or convnext_tiny; it then decides width, stages and blocks.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead.
        width: channels of the first stage; each further stage doubles them.
        stages: how many stages; each after the first halves the picture's sides.
        blocks: residual blocks a stage.
        drop_path: share of blocks skipped while training (networks of timm only).
    """

    width: int = 64
    stages: int = 3
    blocks: int = 2
    drop_path: float = 0.0

    def build(self, classes: int, image_size: int) -> nn.Module:
        if self.name is not None:
            network = named(self.name, classes, self.pretrained, self.drop_path)
            if isinstance(network, VisionTransformer):
                raise UsageError(f"timm's '{self.name}' is a Vision Transformer: use vitrail.models.ViT")
            return network
        refuse_weights_without_name(self.pretrained)
        if image_size < 2 ** (self.stages - 1):
            raise UsageError(f"{self.stages} stages shrink a picture of {image_size} to nothing: choose fewer stages")
        return SmallCNN(classes, self.width, self.stages, self.blocks)
