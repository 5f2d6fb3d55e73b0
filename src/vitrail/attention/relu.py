"""relu: negative scores become zero, positive ones are divided by the number of keys."""

from torch import Tensor

from vitrail.attention.self_attention import SelfAttention, added
from vitrail.vectors.sets import Seen, mask_of


class Relu(SelfAttention):
    """relu(q kᵀ / √d) / n · v, n the keys that a query sees: without that the sum would grow with the set."""

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        scores = added(q * self.scale @ k.transpose(-2, -1), self.full_bias(seen)).relu()
        seen = mask_of(seen)
        if seen is None:
            return scores / k.shape[2]
        seen = seen.expand(*seen.shape[:-1], k.shape[2])
        return scores.masked_fill(~seen, 0.0) / seen.sum(dim=-1, keepdim=True).clamp(min=1)
