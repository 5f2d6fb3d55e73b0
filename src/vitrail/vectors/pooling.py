"""Pooling: a set of vectors becomes one; masked vectors are left out."""

import torch
from torch import Tensor, nn


def mean_of(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean [B, D] of the vectors [B, N, D] where the mask [B, N] is true."""
    if mask is None:
        return x.mean(dim=1)
    counted = mask.unsqueeze(-1).to(x.dtype)
    return (x * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)


def max_of(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The maximum of each of the D features, [B, D]; zeros where all vectors are masked."""
    if mask is None:
        return x.amax(dim=1)
    largest = x.masked_fill(~mask.unsqueeze(-1), torch.finfo(x.dtype).min).amax(dim=1)
    return largest.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)


class Attentive(nn.Module):
    """Self-attentive pooling (2008.01077): a weighted mean, softmax(x w) x.

    With w = 0, as initialised, it is the mean.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def no_weight_decay(self) -> set[str]:
        return {"score.weight"}  # a single vector, the query

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Vectors [B, N, D] → one, [B, D]."""
        return (self.shares(x, mask).unsqueeze(-1) * x).sum(dim=1)

    def shares(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The weight of each vector, [B, N]; the weights of an image sum to 1."""
        scores: Tensor = self.score(x).squeeze(-1)
        if mask is None:
            return scores.softmax(dim=1)
        return scores.masked_fill(~mask, torch.finfo(x.dtype).min).softmax(dim=1) * mask
