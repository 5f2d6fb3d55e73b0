"""boxes: a head whose learned queries attend to an image's vectors; each predicts a box with a label, or none."""

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from vitrail.models.decoder import DecoderLayer
from vitrail.vectors.sets import Vectors, vectors_of

Layers = list[tuple[Tensor, Tensor]]  # logits [B, Q, K + 1] and boxes [B, Q, 4] after each layer


class BoxHead(nn.Module):
    """DETR's decoder (2005.12872) over the vectors [B, N, D]: Q queries, each a box and a softmax over K and none."""

    def __init__(
        self, width: int, classes: int, heads: int, queries: int = 16, layers: int = 3, nothing: float = 0.2
    ) -> None:
        super().__init__()
        self.nothing = nothing  # the weight in the loss of a query without a box
        self.queries = nn.Parameter(torch.empty(queries, width))
        nn.init.normal_(self.queries, std=1.0)
        self.layers = nn.ModuleList(DecoderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classes = nn.Linear(width, classes + 1)  # the last is "no box"
        self.corners = Mlp(width, width, 4)

    def no_weight_decay(self) -> set[str]:
        return {"queries"}

    def by_layer(self, vectors: Vectors) -> Layers:
        """What is predicted after each layer; the loss is of all of them."""
        x, outputs = self.queries.expand(vectors_of(vectors)[0].shape[0], -1, -1), []
        for layer in self.layers:
            x, _ = layer(x, layer.cross.keys_and_values(vectors))  # type: ignore[operator,union-attr]
            normed = self.norm(x)
            outputs.append((self.classes(normed), corners_of(self.corners(normed).sigmoid())))
        return outputs

    def forward(self, vectors: Vectors) -> Tensor:
        """Detections [B, Q, 4 + K + 1]: left, top, right, bottom, and the probabilities, those of no box last."""
        logits, boxes = self.by_layer(vectors)[-1]
        return torch.cat([boxes, logits.softmax(dim=-1)], dim=-1)


def corners_of(boxes: Tensor) -> Tensor:
    """Middle and sides [..., 4] → left, top, right and bottom."""
    middle, sides = boxes.chunk(2, dim=-1)
    return torch.cat([middle - sides / 2, middle + sides / 2], dim=-1)
