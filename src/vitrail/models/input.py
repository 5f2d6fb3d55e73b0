"""Pictures to pixels inside the graph: resize what is not a canvas, normalise; training, test and export share it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.card import InputRule


class Input(nn.Module):
    """uint8 [N, H, W, 3] of any size → normalised float [N, 3, size, size]; on a canvas nothing is resized."""

    mean: Tensor
    std: Tensor

    def __init__(self, rule: InputRule) -> None:
        super().__init__()
        self.rule = rule
        for name, numbers in (("mean", rule.mean), ("std", rule.std)):
            self.register_buffer(name, 255 * torch.tensor(numbers).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).float()  # [N, 3, H, W], 0…255
        pixels = square(pixels, self.rule)
        size = [self.rule.size, self.rule.size]
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        return (pixels - self.mean) / self.std


def square(pixels: Tensor, rule: InputRule) -> Tensor:
    """Cut or fill up to a square, as the rule says; squash leaves that to the resize."""
    if rule.resize == "squash":
        return pixels
    height, width = pixels.shape[-2:]
    # Sides are symbols while exporting: of all ways to cut, only padding by a negative amount accepts them,
    # and of all numbers to halve only positive ones, since ONNX rounds towards zero and Python downwards.
    if rule.resize == "crop":
        side = torch.sym_min(height, width)
        top, left = -((height - side) // 2), -((width - side) // 2)
    else:
        side = torch.sym_max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
    edges: Any = (left, side - width - left, top, side - height - top)
    return F.pad(pixels, edges)
