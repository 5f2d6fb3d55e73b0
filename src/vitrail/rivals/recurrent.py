"""lstm and gru: vectors are read one after another, from first to last and from last to first."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.rivals.rival import Rival


class Recurrent(Rival):
    """A network with a memory in each direction, half as wide as the vectors; cells row by row."""

    kind: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def __init__(self, dim: int, num_heads: int = 8, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        if dim % 2:
            raise UsageError(f"two directions share the width of {dim}: choose an even one")
        self.rnn = self.kind(dim, dim // 2, batch_first=True, bidirectional=True)
        self.proj = nn.Linear(dim, dim)

    def mix(self, x: Tensor, valid: Tensor | None) -> Tensor:
        outputs = self.rnn(x)[0] if valid is None else self.read(x, valid)
        return self.proj(outputs)  # type: ignore[no-any-return]

    def read(self, x: Tensor, valid: Tensor) -> Tensor:
        """The valid vectors in their order, as if there were no others.

        Each direction reads them first, so what it reads after them changes nothing: one from the front, the other from
        the end. Packed sequences would be read once, but cannot be exported.
        """
        count, others = valid.sum(dim=1, keepdim=True), (~valid).cumsum(dim=1)
        front = torch.where(valid, valid.cumsum(dim=1), count + others) - 1  # [B, N], the place of each vector
        later = front + others[:, -1:]
        end = torch.where(later < x.shape[1], later, later - x.shape[1])
        ahead, back = (self.in_places(x, places) for places in (front, end))
        half = x.shape[2] // 2
        outputs = torch.cat([ahead[..., :half], back[..., half:]], dim=2)
        return outputs.masked_fill(~valid.unsqueeze(2), 0.0)

    def in_places(self, x: Tensor, places: Tensor) -> Tensor:
        """What the network gives for vectors in other places, back in their own."""
        places = places.unsqueeze(2).expand_as(x)
        outputs: Tensor = self.rnn(torch.zeros_like(x).scatter(1, places, x))[0]
        return outputs.gather(1, places)


class LSTM(Recurrent):
    """Long short-term memory."""

    kind = nn.LSTM


class GRU(Recurrent):
    """Gated recurrent units."""

    kind = nn.GRU
