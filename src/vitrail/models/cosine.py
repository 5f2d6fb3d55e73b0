"""cosine: a head that compares directions, trained with a margin between the right class and the others."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Cosine(nn.Module):
    """scale · cos(vector, class), and while training scale · (cos − margin) for the right class (1801.05599).

    Its weight is decayed: only its direction matters, and if its length grew, steps would turn it less and less.
    """

    def __init__(self, width: int, classes: int, scale: float = 30.0, margin: float = 0.35) -> None:
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.normal_(self.weight, std=width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, D] → logits [B, K]."""
        logits: Tensor = self.scale * F.normalize(x, dim=-1) @ F.normalize(self.weight, dim=-1).T
        return logits

    def with_margin(self, logits: Tensor, target: Tensor) -> Tensor:
        """The logits that the loss is computed of; `target` holds labels [B], or shares of classes [B, K]."""
        shares = target if target.ndim == 2 else F.one_hot(target, logits.shape[1])
        return logits - self.scale * self.margin * shares
