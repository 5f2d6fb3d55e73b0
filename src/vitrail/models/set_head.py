"""set: a head whose learned queries attend to an image's vectors; each predicts one label, or "nothing"."""

import torch
from torch import Tensor, nn

from vitrail.vectors.sets import Vectors, vectors_of

STEEP = 0.9  # above this share the others are summed directly, since 1 - share would lose its digits


class SetHead(nn.Module):
    """DETR's decoder (2005.12872) over the vectors: Q queries, each a softmax over K classes and "nothing".

    An image has a label if any query predicts it: P(c) = 1 - Π over q of (1 - p_q(c)).
    """

    def __init__(
        self, width: int, classes: int, heads: int, queries: int = 16, layers: int = 2, nothing: float = 0.2
    ) -> None:
        super().__init__()
        self.heads = heads
        self.nothing = nothing  # the weight in the loss of a query without a label
        self.queries = nn.Parameter(torch.empty(queries, width))
        nn.init.normal_(self.queries, std=1.0)
        layer = nn.TransformerDecoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, layers, norm=nn.LayerNorm(width))
        self.classes = nn.Linear(width, classes + 1)  # the last is "nothing"

    def no_weight_decay(self) -> set[str]:
        return {"queries"}

    def query_logits(self, x: Vectors) -> Tensor:
        """Logits [B, Q, K + 1]."""
        vectors, mask = vectors_of(x)
        queries = self.queries.expand(vectors.shape[0], -1, -1)
        hidden = None
        if mask is not None:  # onnxruntime's Attention has a row of the mask for each query
            hidden = (~mask)[:, None, None].expand(-1, self.heads, queries.shape[1], -1).flatten(0, 1)
        logits: Tensor = self.classes(self.decoder(queries, vectors, memory_mask=hidden))
        return logits

    def forward(self, x: Vectors) -> Tensor:
        """Log-odds [B, K] that an image has each label."""
        return log_odds_of_any(log_odds_of_each(self.query_logits(x)))


def log_odds_of_each(logits: Tensor) -> Tensor:
    """log p / (1 - p) of every class but the last, [..., K + 1] → [..., K]; exact however sure the softmax is."""
    best = logits.amax(dim=-1, keepdim=True)
    raised = (logits - best).exp()
    total = raised.sum(dim=-1, keepdim=True)
    share = raised / total
    first = logits.argmax(dim=-1, keepdim=True)
    beside = logits.scatter(-1, first, float("-inf"))
    second = beside.amax(dim=-1, keepdim=True)
    others_of_first = second + (beside - second).exp().sum(dim=-1, keepdim=True).log()
    others = best + total.log() + (1 - share.clamp(max=STEEP)).log()
    return (logits - torch.where(share > STEEP, others_of_first, others))[..., :-1]


def log_odds_of_any(each: Tensor) -> Tensor:
    """Log-odds [B, Q, K] of independent events → of any of them, [B, K].

    In odds, a or b is a + b + ab: nothing is subtracted, so no digits are lost, neither where all are improbable nor
    where one is certain. Pairs are joined until one is left.
    """
    while each.shape[1] > 1:
        half = each.shape[1] // 2
        joined = either(each[:, :half], each[:, half : 2 * half])
        each = torch.cat([joined, each[:, 2 * half :]], dim=1)
    return each[:, 0]


def either(a: Tensor, b: Tensor) -> Tensor:
    """log(e^a + e^b + e^(a + b))."""
    largest = torch.maximum(torch.maximum(a, b), a + b)
    return largest + ((a - largest).exp() + (b - largest).exp() + (a + b - largest).exp()).log()
