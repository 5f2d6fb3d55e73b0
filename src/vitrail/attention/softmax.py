"""softmax: every query sees every key; the attention of the Transformer, here for positions that act inside it."""

import torch.nn.functional as F
from torch import Tensor

from vitrail.attention.self_attention import SelfAttention, added, masked_softmax
from vitrail.vectors.sets import Seen, Visible


class Softmax(SelfAttention):
    """softmax(q kᵀ / √d) v; without such positions the network uses timm's class."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        if self.positions.adds_to_pairs:
            weights = self.dropped(self.weigh(q, k, seen))
            return weights @ v + self.positions.mixed(weights, self.offsets_of())
        return sdpa(q, k, v, seen, self.full_bias(), self.attn_drop.p if self.training else 0.0)

    def mix_sets(self, q: Tensor, k: Tensor, v: Tensor, seen: Visible) -> Tensor:
        if self.positions.adds_to_pairs:
            weights = self.dropped(self.weigh(q, k, seen))
            return weights @ v + self.positions.mixed(weights, seen.offsets)
        if self.positions.adds_to_scores:  # as one operator, with a bias for each set, torch cannot export it
            return super().mix_sets(q, k, v, seen)
        keys = seen.keys.expand(-1, -1, q.shape[2], -1)  # onnxruntime's Attention has a row of the mask a query
        return sdpa(q, k, v, keys, None, self.attn_drop.p if self.training else 0.0)

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        scores = added(q * self.scale @ k.transpose(-2, -1), self.full_bias(seen))
        if self.positions.adds_to_pairs:
            scores = scores + self.positions.scores(q * self.scale, self.offsets_of(seen))
        return masked_softmax(scores, seen)


def sdpa(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, bias: Tensor | None, dropout: float = 0.0) -> Tensor:
    """torch's fused attention; `seen` and `bias` broadcast to [..., queries, keys]."""
    mask = seen
    if bias is not None:
        mask = bias if seen is None else bias.masked_fill(~seen, float("-inf"))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
