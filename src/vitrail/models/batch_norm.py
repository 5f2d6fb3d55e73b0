"""BatchNorm for sets of vectors: each of the D numbers is normalised over all vectors of all images of a batch."""

from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Takes the place of LayerNorm; in training, and only there, images of a batch depend on each other."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D], or [B, D] once pooled."""
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)
