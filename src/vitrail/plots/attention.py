"""What attention weights say when they are followed: rollout through the layers, and how far each head looks."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def rollout(attention: Floats) -> Floats:
    """How much of each token arrives at each other through all layers, [layers, heads, T, T] → [T, T].

    Abnar and Zuidema's: heads are averaged, and half of each token passes by them unchanged.
    """
    arrived = np.eye(attention.shape[-1], dtype=np.float32)
    for layer in attention.mean(axis=1):  # [T, T]
        arrived = to_shares(0.5 * layer + 0.5 * np.eye(len(layer), dtype=np.float32)) @ arrived
    return arrived


def mean_distance(attention: Floats, prefix: int, grid: tuple[int, int]) -> Floats:
    """How far from its own place each head looks on average, in patches: [layers, heads, T, T] → [layers, heads].

    Tokens before the places lie nowhere and are left out, and so are places that look at no place.
    """
    shares = to_shares(attention[..., prefix:, prefix:])
    looking = shares.sum(axis=-1) > 0  # [layers, heads, places]
    total = (shares * distances(grid)).sum(axis=(-2, -1))
    mean: Floats = total / np.maximum(1, looking.sum(axis=-1))
    return mean


def distances(grid: tuple[int, int]) -> Floats:
    """Between all places of a grid, [places, places]."""
    places = np.indices(grid).reshape(2, -1)  # rows and columns
    lengths: Floats = np.hypot(*(places[:, :, None] - places[:, None])).astype(np.float32)
    return lengths


def to_shares(weights: Floats) -> Floats:
    """Rows that sum to 1, as not every kind of attention has; a row of nothing stays one."""
    total = weights.sum(axis=-1, keepdims=True)
    shares: Floats = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares
