"""The CNN: timm's by name, or a small one for small images."""

from dataclasses import dataclass
from typing import Literal

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from vitrail.attention.component import Component, ComponentSpec, parse_component
from vitrail.errors import UsageError
from vitrail.models.architecture import Architecture
from vitrail.models.convolution_layers import LAYERS, check_layers, put_layers
from vitrail.models.dense_cnn import DenseCNN
from vitrail.models.heads import put_value_head, refuse_uneven
from vitrail.models.pooled_cnn import PooledCNN
from vitrail.models.small_cnn import SmallCNN
from vitrail.models.timm_models import named
from vitrail.models.warm_start import start_from
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName


@dataclass(frozen=True)
class CNN(Architecture):
    """A residual CNN: timm's ResNets and ConvNeXts by name, else a small one with a 3×3 stem.

    Args:
        name: any CNN of timm, such as resnet50 or convnext_tiny; it then decides width, stages and blocks.
        pretrained: true fetches timm's weights for `name`; a path reads them from a file instead, and
            hf-hub:USER/REPOSITORY from the Hugging Face Hub; or the path of another run's checkpoint, a file of the
            name .ckpt.
        width: channels of the first stage; each further stage doubles them.
        stages: number of stages; each halves the image's sides, the first only with max-pools.
        blocks: residual blocks a stage.
        drop_path: rate of skipped blocks while training (stochastic depth; networks of timm only).
        downsampling: stride, as in ResNet; or pool: a max-pool in each stage and another at the end, and a head that
            starts at zero (not for networks of timm).
        layers: convolution; or attention: each convolution as attention that equals it, or, as {name: attention,
            sharpness: 2}, as attention near it whose heads can move.

    Examples:
        >>> network = vitrail.CNN(width=16, stages=2).build(classes=10, image_size=32)
        >>> network(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """

    width: int = 64
    stages: int = 3
    blocks: int = 2
    drop_path: float = 0.0
    downsampling: Literal["stride", "pool"] = "stride"
    layers: ComponentSpec = "convolution"

    def __post_init__(self) -> None:
        check_layers(self.parsed_layers())

    def parsed_layers(self) -> Component:
        return parse_component("kind of layers", self.layers, LAYERS)

    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        pooled = not TASKS[task].per_cell
        if self.name is not None:
            network, start = self.build_named(self.name, classes, image_size, pooled), self.run_it_starts_from or False
        else:
            network, start = self.build_small(classes, image_size, pooled), self.pretrained
        # Attention holds a convolution's weights by their names, so that those of a CNN load into it.
        network = start_from(put_layers(network, self.parsed_layers()), start)
        return put_value_head(network) if TASKS[task].has_units else network

    def build_named(self, name: str, classes: int, image_size: int, pooled: bool) -> nn.Module:
        arguments = {} if pooled else {"global_pool": ""}
        network = named(name, classes if pooled else 0, self.timm_weights, self.drop_path, **arguments)
        if isinstance(network, VisionTransformer):
            raise UsageError(f"timm's '{name}' is a Vision Transformer: use vitrail.models.ViT")
        return network if pooled else DenseCNN(network, classes, image_size)

    def build_small(self, classes: int, image_size: int, pooled: bool) -> nn.Module:
        pools = self.downsampling == "pool"
        shrunk = 2 ** (self.stages if pools else self.stages - 1)
        if image_size < shrunk:
            raise UsageError(f"{self.stages} stages shrink an image of {image_size} to nothing: choose fewer stages")
        if not pooled:
            side = -(-image_size // shrunk)
            refuse_uneven(image_size, (side, side))
        return (PooledCNN if pools else SmallCNN)(classes, self.width, self.stages, self.blocks, pooled)
