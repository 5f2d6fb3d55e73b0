"""Images to pixels inside the graph: resize and normalise; shared by training, test and export."""

from typing import Any, overload

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.images.canvas import InputRule
from vitrail.images.patches import Images, patches_of
from vitrail.images.patches import padded as padded_sets
from vitrail.vectors.sets import VectorSet


def channels_first(canvases: Tensor) -> Tensor:
    """[N, H, W, 3] → [N, 3, H, W], a view of the same memory."""
    return canvases.permute(0, 3, 1, 2)


def together(canvases: Images, rule: InputRule) -> Any:
    """Canvases as one tensor, channels first; or as a `VectorSet`, of their patches or of what are vectors already."""
    if rule.width is not None:
        sets = padded_sets(canvases)
        return VectorSet(*(torch.from_numpy(part) for part in (sets.vectors, sets.mask, sets.positions)))
    if rule.patch is None:
        stacked = canvases if isinstance(canvases, np.ndarray) else np.stack(canvases)
        return channels_first(torch.from_numpy(stacked))
    cut = patches_of(canvases, rule.patch)
    return VectorSet(*(torch.from_numpy(part) for part in (cut.patches, cut.mask, cut.positions)))


def blank(rule: InputRule, count: int = 1) -> Any:
    """A batch that shows nothing, of squares or of the longest sets of vectors."""
    if rule.width is not None:
        return together(np.zeros((count, rule.size, rule.width), np.float32), rule)
    return torch.zeros(count, 3, rule.size, rule.size, dtype=torch.uint8)


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
        return self.normalised(channels_first(image))

    @overload
    def normalised(self, image: Tensor) -> Tensor: ...
    @overload
    def normalised(self, image: VectorSet) -> VectorSet: ...
    def normalised(self, image: Tensor | VectorSet) -> Tensor | VectorSet:
        """The same from uint8 [N, 3, H, W], as training batches are; or from patches, uint8 [N, T, p · p · 3].

        Vectors of anything else stay as they are; those of graphs lose the numbers of their neighbours.
        """
        if self.rule.width is not None:
            assert isinstance(image, VectorSet)
            return image.with_neighbours(self.rule.edges)
        if isinstance(image, VectorSet):
            return image.with_vectors(self.of_patches(image.vectors))
        pixels = image.float()  # 0…255
        pixels = letterboxed(pixels, self.rule.size) if self.rule.resize == "pad" else resized(pixels, self.rule)
        return (pixels - self.mean) / self.std

    def of_patches(self, patches: Tensor) -> Tensor:
        colours = torch.unflatten(patches.float(), 2, (-1, 3))
        return ((colours - self.mean.flatten()) / self.std.flatten()).flatten(2)


def resized(pixels: Tensor, rule: InputRule) -> Tensor:
    """All of the image, or its central square, onto all of the canvas."""
    if rule.resize == "crop":
        height, width = pixels.shape[-2:]
        side = torch.sym_min(height, width)
        # Sides are symbolic while exporting: only padding by a negative amount crops by them, and only positive
        # numbers may be halved, since ONNX rounds towards zero and Python downwards.
        top, left = -((height - side) // 2), -((width - side) // 2)
        pixels = padded(pixels, left, side - width - left, top, side - height - top)
    return scaled(pixels, rule.size, rule.size)


def letterboxed(pixels: Tensor, size: int) -> Tensor:
    """The whole image in the middle of a black canvas; the image is resized first, so no large black square is made."""
    height, width = pixels.shape[-2:]
    longest = torch.sym_max(height, width)
    down, across = (torch.sym_max(1, (2 * size * side + longest) // (2 * longest)) for side in (height, width))
    top, left = (size - down) // 2, (size - across) // 2
    return padded(scaled(pixels, down, across), left, size - across - left, top, size - down - top)


def scaled(pixels: Tensor, height: Any, width: Any) -> Tensor:
    return F.interpolate(pixels, [height, width], mode="bilinear", antialias=True, align_corners=False)


def padded(pixels: Tensor, *edges: Any) -> Tensor:
    """Black edges; negative ones crop: left, right, top, bottom."""
    return F.pad(pixels, edges)
