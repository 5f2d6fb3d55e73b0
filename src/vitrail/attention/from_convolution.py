"""A 2-D convolution as attention whose heads each attend to one offset (1911.03584)."""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, cells_of
from vitrail.vectors.positions.quadratic import Quadratic

SHARPNESS = 46.0  # e^-46 is below the precision of float64, and the rounding of scores stays small


class ConvolutionAttention(nn.Module):
    """One head for each cell of the kernel, scores −α ‖δ − Δ‖² alone, values as wide as the image has channels.

    Keys are the cells of the padded image. A stride leaves out queries, a dilation spreads the heads' offsets Δ, and
    groups mix only their own channels. `weight` and `bias` are the convolution's, in its form. Offsets and sharpness
    are learned too, but a head that sees one cell alone gives them no gradient: a lower sharpness lets it move.
    """

    middle: Tensor  # [2], of the kernel: the origin of δ

    def __init__(self, convolution: nn.Conv2d, sharpness: float = SHARPNESS) -> None:
        super().__init__()
        kernel, self.stride, self.dilation = convolution.kernel_size, convolution.stride, convolution.dilation
        self.kernel, self.groups = kernel, convolution.groups
        self.padding, self.padding_mode = convolution.padding, convolution.padding_mode
        self.margin = margin_of(convolution)
        self.weight = nn.Parameter(convolution.weight.detach().clone())  # [out, in / groups, rows, columns]
        self.bias = None if convolution.bias is None else nn.Parameter(convolution.bias.detach().clone())
        apart = torch.tensor(self.dilation)
        self.register_buffer("middle", torch.tensor(kernel) // 2 * apart, persistent=False)
        self.positions = Quadratic((1, 1), prod(kernel), head_dim=1).to(self.weight)
        with torch.no_grad():
            self.positions.centre.copy_(cells_of((kernel[0], kernel[1])) * apart - self.middle)
            self.positions.sharpness.fill_(sharpness)

    def forward(self, images: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, H', W'], as the convolution's."""
        grid = (images.shape[2], images.shape[3])
        rows, columns = self.weights_along(0, grid), self.weights_along(1, grid)
        (up, down), (left, right) = self.margin
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        keys = F.pad(images, (left, right, up, down), mode).permute(2, 0, 1, 3)  # [H + margin, B, in, W + margin]
        mixed = torch.unflatten(rows.flatten(0, 1) @ keys.flatten(1), 0, rows.shape[:2])
        mixed = torch.unflatten(mixed, 2, (-1, keys.shape[3])).flatten(1, 2) @ columns.mT  # [heads, H' · B · in, W']
        mixed = torch.unflatten(mixed, 1, (rows.shape[1], -1, self.groups, self.weight.shape[1]))
        values = torch.unflatten(self.weight.flatten(2), 0, (self.groups, -1))
        outputs: Tensor = torch.einsum("hrbgiw,goih->bgorw", mixed, values).flatten(1, 2)
        return outputs if self.bias is None else outputs + self.bias[:, None, None]

    def weights(self, grid: Grid) -> Tensor:
        """The weight of each cell of the padded image for each query, [heads, N, M]."""
        rows, columns = self.weights_along(0, grid), self.weights_along(1, grid)
        return torch.einsum("hrp,hwq->hrwpq", rows, columns).flatten(3, 4).flatten(1, 2)

    def weights_along(self, axis: int, grid: Grid) -> Tensor:
        """The weights of the rows of the padded image for each row of queries, [heads, H', H + margin]; or of columns.

        Scores are a sum over both axes, so that their softmax over cells is a product.
        """
        device = self.weight.device
        keys = torch.arange(self.padded(grid)[axis], device=device) - self.middle[axis]
        queries = torch.arange(self.queries(grid)[axis], device=device) * self.stride[axis]
        offsets = keys[None] - queries[:, None]
        both = (offsets, torch.zeros_like(offsets))
        return self.positions.bias(torch.stack(both if axis == 0 else both[::-1], dim=-1)).softmax(dim=-1)

    def padded(self, grid: Grid) -> Grid:
        (up, down), (left, right) = self.margin
        return grid[0] + up + down, grid[1] + left + right

    def queries(self, grid: Grid) -> Grid:
        """Rows and columns of the output."""
        rows, columns = (
            (side - apart * (length - 1) - 1) // step + 1
            for side, apart, length, step in zip(
                self.padded(grid), self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return rows, columns


def conv_to_attention(convolution: nn.Conv2d, sharpness: float = SHARPNESS) -> ConvolutionAttention:
    """Attention with the same output as this convolution, on images of any size; less sharp, nearly the same."""
    if type(convolution) is not nn.Conv2d:  # a subclass may compute something else
        raise UsageError(f"only an nn.Conv2d can be written as attention here, not {type(convolution).__name__}")
    return ConvolutionAttention(convolution, sharpness)


def margin_of(convolution: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """The padding above and below, and left and right; `same` puts the smaller half of an odd number first."""
    if convolution.padding == "same":
        sides = zip(convolution.dilation, convolution.kernel_size, strict=True)
        (up, down), (left, right) = (halves(apart * (length - 1)) for apart, length in sides)
        return (up, down), (left, right)
    if isinstance(convolution.padding, str):  # "valid"
        return (0, 0), (0, 0)
    down, across = convolution.padding
    return (int(down), int(down)), (int(across), int(across))


def halves(number: int) -> tuple[int, int]:
    return number // 2, number - number // 2
