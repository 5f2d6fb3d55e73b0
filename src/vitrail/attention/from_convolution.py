"""A 2-D convolution as attention whose heads each attend to one offset (1911.03584)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, cells_of
from vitrail.vectors.positions.quadratic import quadratics

SHARPNESS = 46.0  # e^-46 is below the precision of float64, and the rounding of scores stays small


class ConvolutionAttention(nn.Module):
    """One head for each cell of the kernel, scores −α ‖δ − Δ‖² alone, values as wide as the image has channels.

    Keys are the cells of the padded image. A stride leaves out queries, a dilation spreads the heads' offsets Δ, and
    groups mix only their own channels.
    """

    looks: Tensor  # [heads, 3], factors of (‖δ‖², δ₁, δ₂)
    middle: Tensor  # [2], of the kernel: the origin of δ

    def __init__(self, convolution: nn.Conv2d, sharpness: float = SHARPNESS) -> None:
        super().__init__()
        kernel, self.stride, self.dilation = convolution.kernel_size, convolution.stride, convolution.dilation
        self.kernel, self.groups = kernel, convolution.groups
        self.mode = "constant" if convolution.padding_mode == "zeros" else convolution.padding_mode
        self.margin = margin_of(convolution)
        weight = convolution.weight.detach()  # [out, in / groups, rows, columns]
        self.values = nn.Parameter(weight.flatten(2).permute(2, 1, 0).contiguous())  # [heads, in / groups, out]
        self.bias = None if convolution.bias is None else nn.Parameter(convolution.bias.detach().clone())
        apart = torch.tensor(self.dilation)
        self.register_buffer("middle", torch.tensor(kernel) // 2 * apart, persistent=False)
        centres = cells_of((kernel[0], kernel[1])) * apart - self.middle
        factors = torch.cat([-torch.ones(len(centres), 1), 2 * centres], dim=1)
        self.register_buffer("looks", (sharpness * factors).to(weight.dtype))

    def forward(self, images: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, H', W'], as the convolution's."""
        grid = (images.shape[2], images.shape[3])
        (up, down), (left, right) = self.margin
        keys = F.pad(images, (left, right, up, down), self.mode).flatten(2).transpose(1, 2)  # [B, M, in]
        mixed = self.weights(grid) @ keys.unsqueeze(1)  # [B, heads, N, in]
        by_group = torch.unflatten(mixed, 3, (self.groups, -1)), torch.unflatten(self.values, 2, (self.groups, -1))
        outputs: Tensor = torch.einsum("bhngi,higo->bngo", *by_group).flatten(2)  # [B, N, out]
        if self.bias is not None:
            outputs = outputs + self.bias
        return torch.unflatten(outputs.transpose(1, 2), 2, self.queries(grid))

    def weights(self, grid: Grid) -> Tensor:
        """The weight of each cell of the padded image for each query, [heads, N, M]."""
        device = self.looks.device
        around = cells_of(self.padded(grid), device) - self.middle
        cells = cells_of(self.queries(grid), device) * torch.tensor(self.stride, device=device)
        scores = quadratics(around[None] - cells[:, None], self.looks.dtype) @ self.looks.T  # [N, M, heads]
        return scores.movedim(-1, 0).softmax(dim=-1)

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


def conv_to_attention(convolution: nn.Conv2d) -> ConvolutionAttention:
    """Attention with the same output as this convolution, on images of any size."""
    if not isinstance(convolution, nn.Conv2d):
        raise UsageError(f"only an nn.Conv2d can be written as attention here, not {type(convolution).__name__}")
    return ConvolutionAttention(convolution)


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
