"""inducing: a few learned vectors attend to all, and all attend to those few (the Set Transformer's ISAB)."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from vitrail.attention.self_attention import SelfAttention, masked_softmax, only_keys
from vitrail.attention.softmax import sdpa
from vitrail.vectors.sets import Seen, Visible


class Inducing(SelfAttention):
    """softmax twice: inducing points gather from the keys, queries from the points; cost N · points."""

    options: ClassVar[dict[str, int]] = {"points": 16}
    scored = False

    def __init__(self, dim: int, num_heads: int = 8, **others: object) -> None:
        super().__init__(dim, num_heads, **others)
        self.points = nn.Parameter(torch.empty(self.num_heads, self.options["points"], self.head_dim))
        self.gathered = nn.Linear(self.attn_dim, 2 * self.attn_dim)  # keys and values of the points
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.normal_(self.points)

    def no_weight_decay(self) -> set[str]:
        return {"points"}

    def mix(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        keys, values = self.gather(k, v, only_keys(seen))
        return sdpa(q, keys, values, None, None, self.attn_drop.p if self.training else 0.0)

    def mix_sets(self, q: Tensor, k: Tensor, v: Tensor, seen: Visible) -> Tensor:
        return self.mix(q, k, v, seen.keys)

    def gather(self, k: Tensor, v: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """Keys and values of the points, [B, heads, points, head_dim] each."""
        b = k.shape[0]
        if seen is not None:  # onnxruntime's Attention has a row of the mask for each query
            seen = seen.expand(-1, -1, self.points.shape[1], -1)
        outputs = sdpa(self.points.expand(b, -1, -1, -1), k, v, seen, None)  # [B, heads, points, head_dim]
        both = self.gathered(outputs.transpose(1, 2).flatten(2))  # [B, points, 2 · D]
        keys, values = torch.unflatten(both, 2, (2, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)
        return keys, values

    def weights(self, x: Tensor, seen: Seen = None) -> Tensor:
        """Through the points: weights of points times weights of vectors."""
        q, k, v = self.heads(x, seen)
        seen = only_keys(seen)
        keys, _ = self.gather(k, v, seen)
        reading = (q * self.scale @ keys.transpose(-2, -1)).softmax(dim=-1)  # [B, heads, N, points]
        writing = masked_softmax(self.points * self.scale @ k.transpose(-2, -1), seen)  # [B, heads, points, N]
        weights: Tensor = reading @ writing
        return weights
