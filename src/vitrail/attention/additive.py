"""additive: a small network scores each pair of query and key (Bahdanau); for few vectors, say 200 at most."""

import torch
from torch import Tensor, nn

from vitrail.attention.self_attention import SelfAttention, added, masked_softmax


class Additive(SelfAttention):
    """Scores wᵀ tanh(q + k), one w a head, under a softmax; memory grows with N² · D."""

    def __init__(self, dim: int, num_heads: int = 8, **others: object) -> None:
        super().__init__(dim, num_heads, **others)
        self.score = nn.Parameter(torch.empty(self.num_heads, self.head_dim))
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.normal_(self.score, std=self.head_dim**-0.5)

    def weigh(self, q: Tensor, k: Tensor, seen: Tensor | None) -> Tensor:
        pairs = (q.unsqueeze(3) + k.unsqueeze(2)).tanh()  # [B, heads, N, N, head_dim]
        scores = (pairs * self.score[:, None, None]).sum(dim=-1)
        return masked_softmax(added(scores, self.full_bias()), seen)
