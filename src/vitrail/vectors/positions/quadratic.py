"""quadratic: each head prefers one offset, the bias falling with the square of the distance; as in a convolution."""

import torch
from torch import Tensor, nn

from vitrail.vectors.grid import Grid
from vitrail.vectors.positions.inside import Positions


class Quadratic(Positions):
    """Adds −α ‖δ − Δ‖² to scores, Δ a learned centre of each head and α its learned sharpness (1911.03584).

    Up to a constant over all keys, which has no effect, that is v · (‖δ‖², δ₁, δ₂).
    """

    adds_to_scores = True

    def __init__(self, grid: Grid, heads: int, head_dim: int) -> None:
        super().__init__(grid, heads, head_dim)
        self.centre = nn.Parameter(torch.empty(heads, 2))
        self.sharpness = nn.Parameter(torch.empty(heads))
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.normal_(self.centre, std=1.0)
        nn.init.constant_(self.sharpness, 0.1)

    def no_weight_decay(self) -> set[str]:
        return {"centre", "sharpness"}

    def bias(self, offsets: Tensor) -> Tensor:
        factors = torch.cat([-self.sharpness[:, None], 2 * self.sharpness[:, None] * self.centre], dim=1)  # [heads, 3]
        return (quadratics(offsets, factors.dtype) @ factors.T).movedim(-1, 0)


def quadratics(offsets: Tensor, dtype: torch.dtype) -> Tensor:
    """Offsets δ [..., 2] → (‖δ‖², δ₁, δ₂), [..., 3]."""
    offsets = offsets.to(dtype)
    return torch.cat([offsets.square().sum(dim=-1, keepdim=True), offsets], dim=-1)
