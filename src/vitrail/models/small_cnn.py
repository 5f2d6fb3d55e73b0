"""A small residual CNN for small images: ResNet with a 3×3 stem at full resolution."""

from torch import Tensor, nn

from vitrail.models.residual import convolution, residual

# Channels. With fewer, torch's backward of a strided 1×1 convolution, channels last and in one thread, writes beyond
# its memory on processors without AVX-512, and the process ends later, somewhere else.
NARROW = 8


class SmallCNN(nn.Module):
    """Stages of timm's residual blocks, each half as high and wide and twice as deep as the one before."""

    def __init__(self, classes: int, width: int, stages: int, blocks: int, pooled: bool = True) -> None:
        super().__init__()
        self.is_narrow = width < NARROW
        self.pooled = pooled  # else each cell of the last feature map has logits of its own
        self.stem = nn.Sequential(*convolution(3, width))
        self.stages = nn.Sequential(*residual_stages(width, stages, blocks))
        self.head = nn.Linear(width * 2 ** (stages - 1), classes)

    def forward_features(self, pixels: Tensor) -> Tensor:
        if self.is_narrow:
            pixels = pixels.contiguous()  # canvases come channels last, which is faster for wider ones
        features: Tensor = self.stages(self.stem(pixels))  # [B, C, h, w]
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        read = features.mean(dim=(2, 3)) if self.pooled else features.movedim(1, -1)  # [B, C] or [B, h, w, C]
        return read if pre_logits else self.head(read)

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, pixels: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(pixels))


def residual_stages(width: int, stages: int, blocks: int) -> list[nn.Module]:
    """The blocks of all stages, one after another; `width` channels in, twice as many after each further stage."""
    layers: list[nn.Module] = []
    channels = width
    for stage in range(stages):
        for block in range(blocks):
            halve = stage > 0 and block == 0
            layers.append(residual(channels, width * 2**stage, stride=2 if halve else 1))
            channels = width * 2**stage
    return layers
