"""fc: a fully connected layer for each vector, which may see a window around it."""

from typing import Any, ClassVar

from torch import Tensor, nn

from vitrail.rivals.rival import Rival
from vitrail.vectors.sets import Visible


class FullyConnected(Rival):
    """One matrix for the (2 · reach + 1)² cells around, laid end to end; a convolution computes it.

    With a reach of 0, each vector alone. The matrix has (2 · reach + 1)² · D² weights, while those of self-attention
    are 4 · D² whatever it sees.
    """

    options: ClassVar[dict[str, int]] = {"reach": 0}

    def __init__(self, dim: int, num_heads: int = 8, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        reach = self.options["reach"]
        self.window = nn.Conv2d(dim, dim, 2 * reach + 1, padding=reach)

    def mix(self, x: Tensor, valid: Tensor | None) -> Tensor:
        if valid is not None:
            x = x * valid.unsqueeze(2)  # as beyond the border
        cells = x.transpose(1, 2).unflatten(2, self.grid)  # [B, D, rows, columns]
        return self.window(cells).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]

    def mix_sets(self, x: Tensor, seen: Visible) -> Tensor:
        weight, mixed = self.window.weight, self.window.bias.expand_as(x)  # type: ignore[union-attr]
        for row, column, cells in seen.around(x, weight.shape[2]):
            mixed = mixed + cells @ weight[:, :, row, column].T
        return mixed
