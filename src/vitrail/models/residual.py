"""What small CNNs and stems are made of: a 3×3 convolution, and timm's residual block of two."""

from timm.models.resnet import BasicBlock
from torch import nn


def convolution(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    """3×3, BatchNorm, ReLU."""
    return [
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


def residual(channels_in: int, channels_out: int, stride: int = 1) -> nn.Module:
    """One residual block; its shortcut is a 1×1 convolution where the shape changes."""
    shortcut = None
    if stride != 1 or channels_in != channels_out:
        shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False), nn.BatchNorm2d(channels_out)
        )
    block: nn.Module = BasicBlock(channels_in, channels_out, stride=stride, downsample=shortcut)
    return block
