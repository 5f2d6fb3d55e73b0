"""Attention to a few neighbours of each vector, at a cost that grows with N: one neighbour of all at a time."""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.attention.self_attention import added, masked_softmax
from vitrail.attention.softmax import sdpa
from vitrail.vectors.sets import Offsets, Visible, rows_of


def attended(
    q: Tensor,
    keys: Iterable[Tensor],
    values: Iterable[Tensor],
    allowed: Tensor,
    bias: Tensor | None,
    first: Tensor | None,
    dropped: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Each query's mixture of the values of its K neighbours, [..., heads, d] as the queries.

    Keys and values are those of each vector's first neighbour, then of its second, …, so that not all are in memory at
    once. `allowed` and `bias` broadcast to [..., heads, K]. Of what each vector sees besides, `first` has the scores
    [..., heads, P], before those of neighbours also in `allowed`, and the second result the weights.
    """
    scores = added(torch.stack([(q * one).sum(dim=-1) for one in keys], dim=-1), bias)
    p = 0 if first is None else first.shape[-1]
    weights = dropped(masked_softmax(scores if first is None else torch.cat([first, scores], dim=-1), allowed))
    shares = weights[..., p:].unsqueeze(-1).unbind(dim=-2)
    return reduce(torch.add, (share * one for share, one in zip(shares, values, strict=True))), weights[..., :p]


def attended_in_sets(
    attention: Any, q: Tensor, k: Tensor, v: Tensor, seen: Visible, offsets: Offsets, near: Tensor | None = None
) -> Tensor:
    """Each vector of a set sees those at these offsets and the prefix; `near`, [heads, K], which a head sees of them.

    Queries, keys and values are [B, heads, prefix + N, d], as is the result; the prefix sees all vectors.
    """
    p, queries = attention.prefix, q * attention.scale
    index, there = seen.neighbours(offsets)  # [B, N, K]
    allowed = there.flatten(0, 1).unsqueeze(1)
    if near is not None:
        allowed = allowed & near
    first = in_rows(queries[:, :, p:] @ k[:, :, :p].mT) if p else None
    keys, values = (rows_of(in_rows(x[:, :, p:]), index) for x in (k, v))
    bias = attention.bias(torch.tensor(offsets, device=q.device))  # [heads, K]
    mixed, shares = attended(
        in_rows(queries[:, :, p:]), keys, values, F.pad(allowed, (p, 0), value=True), bias, first, attention.dropped
    )
    cells = out_of_rows(mixed, index)
    if not p:
        return cells
    cells = cells + out_of_rows(shares, index) @ v[:, :, :p]
    all_keys = seen.keys.expand(-1, -1, p, -1)  # onnxruntime's Attention has a row of the mask for each query
    of_prefix = sdpa(q[:, :, :p], k, v, all_keys, None, attention.attn_drop.p if attention.training else 0.0)
    return torch.cat([of_prefix, cells], dim=2)


def in_rows(x: Tensor) -> Tensor:
    """[B, heads, N, d] → [B · N, heads, d], so that a vector is contiguous in memory."""
    return x.transpose(1, 2).flatten(0, 1)


def out_of_rows(x: Tensor, index: Tensor) -> Tensor:
    """[B · N, heads, d] → [B, heads, N, d], of sets as an index [B, N, K] has them."""
    return x.reshape(*index.shape[:2], *x.shape[1:]).transpose(1, 2)
