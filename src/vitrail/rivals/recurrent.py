"""lstm and gru: vectors are read one after another, from first to last and from last to first."""

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

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
        """The valid vectors in their order, as if there were no others."""
        order = (~valid).long().argsort(dim=1, stable=True)  # [B, N], valid ones first
        lengths = valid.sum(dim=1).clamp(min=1).cpu()
        places = order.unsqueeze(2).expand_as(x)
        packed = pack_padded_sequence(x.gather(1, places), lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        return outputs.new_zeros(x.shape).scatter(1, places, outputs)


class LSTM(Recurrent):
    """Long short-term memory."""

    kind = nn.LSTM


class GRU(Recurrent):
    """Gated recurrent units."""

    kind = nn.GRU
