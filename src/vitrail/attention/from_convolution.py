"""Any convolution is attention whose heads each look at one offset (1911.03584); here is that attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, places_of
from vitrail.vectors.positions.quadratic import quadratics

SHARPNESS = 46.0  # e^-46 is below the last digit of float64, and of the scores' own rounding little is left


class ConvolutionAttention(nn.Module):
    """One head for each place of the kernel, scores −α ‖δ − Δ‖² alone, values as wide as the picture has channels.

    Zeros around the picture are places, too: queries look at a grid with that margin.
    """

    looks: Tensor  # [heads, 3], factors of (‖δ‖², δ₁, δ₂)

    def __init__(self, convolution: nn.Conv2d, sharpness: float = SHARPNESS) -> None:
        super().__init__()
        refuse_others(convolution)
        rows, columns = convolution.kernel_size
        self.margin = rows // 2, columns // 2
        weight = convolution.weight.detach()  # [out, in, rows, columns]
        self.values = nn.Parameter(weight.flatten(2).permute(2, 1, 0).contiguous())  # [heads, in, out]
        self.bias = None if convolution.bias is None else nn.Parameter(convolution.bias.detach().clone())
        centres = places_of((rows, columns)) - torch.tensor(self.margin)
        factors = torch.cat([-torch.ones(rows * columns, 1), 2 * centres], dim=1)
        self.register_buffer("looks", (sharpness * factors).to(weight.dtype))

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, H, W], as the convolution's."""
        grid = (pictures.shape[2], pictures.shape[3])
        down, across = self.margin
        keys = F.pad(pictures, (across, across, down, down)).flatten(2).transpose(1, 2)  # [B, M, in]
        mixed = self.weights(grid) @ keys.unsqueeze(1)  # [B, heads, N, in]
        found: Tensor = (mixed @ self.values).sum(dim=1)  # [B, N, out]
        if self.bias is not None:
            found = found + self.bias
        return torch.unflatten(found.transpose(1, 2), 2, grid)

    def weights(self, grid: Grid) -> Tensor:
        """How much each place looks at each of the grid with its margin, [heads, N, M]."""
        down, across = self.margin
        around = places_of((grid[0] + 2 * down, grid[1] + 2 * across), self.looks.device)
        around = around - torch.tensor(self.margin, device=around.device)
        offsets = around[None] - places_of(grid, self.looks.device)[:, None]
        scores = quadratics(offsets, self.looks.dtype) @ self.looks.T  # [N, M, heads]
        return scores.movedim(-1, 0).softmax(dim=-1)


def conv_to_attention(convolution: nn.Conv2d) -> ConvolutionAttention:
    """Attention with the same output as this convolution, on pictures of any size."""
    return ConvolutionAttention(convolution)


def refuse_others(convolution: nn.Conv2d) -> None:
    """Refuse convolutions that skip places, or whose kernel has no middle."""
    rows, columns = convolution.kernel_size
    plain = convolution.stride == (1, 1) and convolution.dilation == (1, 1) and convolution.groups == 1
    padded = convolution.padding in ((rows // 2, columns // 2), "same") and convolution.padding_mode == "zeros"
    if not (rows % 2 and columns % 2 and plain and padded):
        raise UsageError(
            "only a convolution of odd kernel size, stride 1, one group, no dilation, and zeros of half its size "
            f"around the picture can be written as attention; this is {convolution}"
        )
