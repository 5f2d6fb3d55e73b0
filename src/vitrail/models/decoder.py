"""Heads that read a sequence of labels from vectors: a Transformer decoder, autoregressive or in parallel."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from vitrail.attention.self_attention import masked_softmax
from vitrail.vectors.sets import Vectors, vectors_of


class KeysAndValues(NamedTuple):
    """What vectors attend to."""

    keys: Tensor  # [B, heads, N, d]
    values: Tensor
    mask: Tensor | None = None  # [B, 1, 1, N], of those that are no padding

    def after(self, past: "KeysAndValues | None") -> "KeysAndValues":
        if past is None:
            return self
        return KeysAndValues(*(torch.cat(both, dim=2) for both in zip(past[:2], self[:2], strict=True)))


class Attention(nn.Module):
    """Multi-head attention of some vectors to others, or to each other; keys and values can be kept between calls."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """[B, T, D] → [B, heads, T, d]."""
        apart: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return apart

    def keys_and_values(self, x: Vectors) -> KeysAndValues:
        vectors, mask = vectors_of(x)
        keys, values = self.key_value(vectors).chunk(2, dim=-1)
        return KeysAndValues(self.split(keys), self.split(values), None if mask is None else mask[:, None, None])

    def forward(self, x: Tensor, seen: KeysAndValues, is_causal: bool = False) -> Tensor:
        """Vectors [B, T, D], of which the i-th attends to the first i alone if `is_causal`."""
        # onnxruntime's Attention has a row of the mask for each query
        mask = None if seen.mask is None else seen.mask.expand(-1, -1, x.shape[1], -1)
        queries = self.split(self.query(x))
        attended = F.scaled_dot_product_attention(queries, seen.keys, seen.values, mask, is_causal=is_causal)
        mixed: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return mixed

    def weights(self, x: Tensor, seen: KeysAndValues) -> Tensor:
        """How much each vector attends to each other, [B, heads, T, N]."""
        queries = self.split(self.query(x))
        scores = queries @ seen.keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
        return masked_softmax(scores, seen.mask)


class DecoderLayer(nn.Module):
    """Attention to the sequence so far, cross-attention to the image, and an MLP, each after a norm (2002.04745)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.itself = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.cross = nn.LayerNorm(width), Attention(width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width)

    def forward(
        self, x: Tensor, image: KeysAndValues, past: KeysAndValues | None = None, is_causal: bool = False
    ) -> tuple[Tensor, KeysAndValues]:
        """Vectors [B, T, D] after those of `past`, and the keys and values of all."""
        x, seen = self.after_itself(x, past, is_causal)
        x = x + self.cross(self.norm2(x), image)
        return x + self.mlp(self.norm3(x)), seen

    def after_itself(self, x: Tensor, past: KeysAndValues | None, is_causal: bool) -> tuple[Tensor, KeysAndValues]:
        normed = self.norm1(x)
        seen = self.itself.keys_and_values(normed).after(past)
        return x + self.itself(normed, seen, is_causal), seen

    def cross_attention(self, x: Tensor, image: KeysAndValues, is_causal: bool) -> Tensor:
        """How much each vector attends to each of the image's, [B, heads, T, N]."""
        return self.cross.weights(self.norm2(self.after_itself(x, None, is_causal)[0]), image)


class SequenceHead(nn.Module, ABC):
    """Vectors [B, N, D] → logits [B, L, K + 1] of the label at each of L places; the last class is the end."""

    is_causal: ClassVar[bool]  # whether a place sees none after it

    def __init__(self, width: int, classes: int, heads: int, length: int, layers: int) -> None:
        super().__init__()
        self.length = length
        self.end = classes
        self.places = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.places, std=1.0)
        self.layers = nn.ModuleList(DecoderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classes = nn.Linear(width, classes + 1)

    def no_weight_decay(self) -> set[str]:
        return {"places"}

    @abstractmethod
    def inputs(self, classes: Tensor) -> Tensor:
        """The first layer's input [B, L, D], where these are the classes [B, L]."""

    def logits_after(self, vectors: Vectors, classes: Tensor) -> Tensor:
        """The logits for the loss, all at once: each place after the true classes [B, L] of those before it."""
        return self.decoded(self.inputs(classes), vectors)

    def decoded(self, x: Tensor, vectors: Vectors) -> Tensor:
        """The first layer's input [B, L, D] → logits."""
        for layer, image in zip(self.layers, self.seen_of(vectors), strict=True):
            x, _ = layer(x, image, is_causal=self.is_causal)
        logits: Tensor = self.classes(self.norm(x))
        return logits

    def seen_of(self, vectors: Vectors) -> list[KeysAndValues]:
        """The image as each layer sees it; the same for all places."""
        layers: Any = self.layers
        return [layer.cross.keys_and_values(vectors) for layer in layers]

    def attention(self, vectors: Vectors) -> Tensor:
        """How much each place of the prediction attends to each vector, [B, layers, heads, L, N]."""
        x, layers = self.inputs(self(vectors).argmax(dim=-1)), []
        modules: Any = self.layers
        for layer, image in zip(modules, self.seen_of(vectors), strict=True):
            layers.append(layer.cross_attention(x, image, self.is_causal))
            x, _ = layer(x, image, is_causal=self.is_causal)
        return torch.stack(layers, dim=1)


class Parallel(SequenceHead):
    """In one shot: a learned query for each place, as in DETR (2005.12872); all places see each other."""

    is_causal = False

    def inputs(self, classes: Tensor) -> Tensor:
        return self.places.expand(classes.shape[0], -1, -1)

    def forward(self, vectors: Vectors) -> Tensor:
        return self.decoded(self.places.expand(vectors_of(vectors)[0].shape[0], -1, -1), vectors)


class Autoregressive(SequenceHead):
    """Label by label: each is predicted from the image and the labels before it, by greedy decoding.

    All places are trained, those after the end to be ends too.
    """

    is_causal = True

    def __init__(self, width: int, classes: int, heads: int, length: int, layers: int) -> None:
        super().__init__(width, classes, heads, length, layers)
        self.labels = nn.Parameter(torch.empty(classes + 2, width))  # and the end, and the start
        nn.init.normal_(self.labels, std=1.0)

    def no_weight_decay(self) -> set[str]:
        return {"places", "labels"}

    def inputs(self, classes: Tensor) -> Tensor:
        """The embedding of the class before each place; at the first, of the start."""
        before = F.pad(classes[:, :-1], (1, 0), value=self.end + 1)
        return self.labels[before] + self.places

    def forward(self, vectors: Vectors) -> Tensor:
        """One place a step. The loop is over a fixed number of places, so that an exported graph has no loop.

        Keys and values are kept, so that all steps together cost as much as one pass over all places.
        """
        image = self.seen_of(vectors)
        past: list[KeysAndValues | None] = [None] * len(self.layers)
        label = torch.full(image[0].keys.shape[:1], self.end + 1, device=vectors.device)
        steps = []
        for place in self.places:
            x = (self.labels[label] + place).unsqueeze(1)
            for index, layer in enumerate(self.layers):
                x, past[index] = layer(x, image[index], past[index])
            logits = self.classes(self.norm(x))  # [B, 1, K + 1]
            steps.append(logits)
            label = logits.squeeze(1).argmax(dim=-1)
        return torch.cat(steps, dim=1)
