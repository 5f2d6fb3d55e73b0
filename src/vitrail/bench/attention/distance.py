"""How strongly the last output depends on a vector so far before it, where training starts."""

from dataclasses import dataclass

import torch

from vitrail.attention import fitted
from vitrail.bench.attention.cases import HEADS, WIDTH
from vitrail.models.components import MIXERS

VECTORS = 128  # in a row
DRAWS = 8  # of weights, vectors and direction
SHOWN = (1, 4, 16, 64, VECTORS - 1)  # distances in the table


@dataclass(frozen=True)
class Gradients:
    """Root mean square of the gradients with respect to the vector at each distance, from 0 on."""

    mechanism: str
    norms: tuple[float, ...]


def gradients(mechanism: str, seed: int) -> Gradients:
    """Of the last output in a random direction, averaged over draws."""
    squares = torch.zeros(VECTORS, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(DRAWS):
            module = fitted(MIXERS[mechanism], (1, VECTORS), prefix=0)(WIDTH, HEADS, qkv_bias=True).double()
            vectors = torch.randn(1, VECTORS, WIDTH, dtype=torch.float64, requires_grad=True)
            output = module(vectors)[0, -1]
            (gradient,) = torch.autograd.grad(output, vectors, torch.randn_like(output))
            squares += gradient[0].flip(0).square().sum(dim=1) / DRAWS
    return Gradients(mechanism, tuple(squares.sqrt().tolist()))
