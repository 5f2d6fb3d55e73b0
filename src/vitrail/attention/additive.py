"""additive: a small network scores each pair of query and key (Bahdanau); for few vectors, say 200 at most."""

import torch
from torch import Tensor, nn

from vitrail.attention.self_attention import SelfAttention, added, masked_softmax
from vitrail.vectors.sets import Seen


class Additive(SelfAttention):
    """Scores wᵀ tanh(q + k), one w a head, under a softmax; memory grows with N² · D."""

    def __init__(self, dim: int, num_heads: int = 8, **others: object) -> None:
        super().__init__(dim, num_heads, **others)
        self.score = nn.Parameter(torch.empty(self.num_heads, self.head_dim))
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.normal_(self.score, std=self.head_dim**-0.5)

    def no_weight_decay(self) -> set[str]:
        return {"score"}  # one vector a head

    def weigh(self, q: Tensor, k: Tensor, seen: Seen) -> Tensor:
        # Head by head: all pairs of all heads at once would not fit into any cache.
        of_heads = zip(q.unbind(1), k.unbind(1), self.score, strict=True)
        scores = torch.stack([pair_scores(*head) for head in of_heads], dim=1)  # [B, heads, N, N]
        return masked_softmax(added(scores, self.full_bias(seen)), seen)


def pair_scores(q: Tensor, k: Tensor, score: Tensor) -> Tensor:
    """wᵀ tanh(q + k) of all pairs of one head: [B, N, d] twice and w [d] → [B, N, N]."""
    return (q.unsqueeze(2) + k.unsqueeze(1)).tanh() @ score
