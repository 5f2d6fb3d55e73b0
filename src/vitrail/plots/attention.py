"""Attention statistics: rollout through the layers, and the mean distance of each head."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def rollout(attention: Floats) -> Floats:
    """Attention of each token to each other, accumulated over all layers, [layers, heads, T, T] → [T, T].

    Abnar and Zuidema: heads are averaged, and the residual connection counts as half.
    """
    arrived = np.eye(attention.shape[-1], dtype=np.float32)
    for layer in attention.mean(axis=1):  # [T, T]
        arrived = to_shares(0.5 * layer + 0.5 * np.eye(len(layer), dtype=np.float32)) @ arrived
    return arrived


def mean_distance(attention: Floats, prefix: int, grid: tuple[int, int]) -> Floats:
    """Mean attention distance of each head, in patches: [layers, heads, T, T] → [layers, heads].

    Prefix tokens have no position and are left out, and so are patches that attend to no patch.
    """
    shares = to_shares(attention[..., prefix:, prefix:])
    attending = shares.sum(axis=-1) > 0  # [layers, heads, cells]
    total = (shares * distances(grid)).sum(axis=(-2, -1))
    mean: Floats = total / np.maximum(1, attending.sum(axis=-1))
    return mean


def distances(grid: tuple[int, int]) -> Floats:
    """Between all cells of a grid, [cells, cells]."""
    cells = np.indices(grid).reshape(2, -1)  # rows and columns
    lengths: Floats = np.hypot(*(cells[:, :, None] - cells[:, None])).astype(np.float32)
    return lengths


def to_shares(weights: Floats) -> Floats:
    """Rows that sum to 1, which not every attention mechanism has; rows of zeros stay zero."""
    total = weights.sum(axis=-1, keepdims=True)
    shares: Floats = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares
