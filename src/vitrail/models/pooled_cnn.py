"""A small residual CNN for small images that halves them by max-pools instead of strides."""

from torch import Tensor, nn

from vitrail.models.residual import convolution, residual


class PooledCNN(nn.Module):
    """A 3×3 stem, then stages of a 3×3 convolution, a 2×2 max-pool and residual blocks, each twice as deep as the one
    before; the head reads the maximum of each channel, and starts at zero.
    """

    def __init__(self, classes: int, width: int, stages: int, blocks: int, pooled: bool = True) -> None:
        super().__init__()
        self.pooled = pooled  # else each cell of the last feature map has logits of its own
        self.stem = nn.Sequential(*convolution(3, width))
        layers: list[nn.Module] = []
        channels = width
        for stage in range(stages):
            layers += [*convolution(channels, width * 2**stage), nn.MaxPool2d(2, ceil_mode=True)]
            channels = width * 2**stage
            layers += [residual(channels, channels) for _ in range(blocks)]
        self.stages = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward_features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.stages(self.stem(pixels))  # [B, C, h, w]
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        read = features.amax(dim=(2, 3)) if self.pooled else features.movedim(1, -1)  # [B, C] or [B, h, w, C]
        return read if pre_logits else self.head(read)

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, pixels: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(pixels))
