"""What is timed: a mechanism alone, or with its projections, forward and backward on seeded vectors."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vitrail.attention import MECHANISMS, SelfAttention, fitted
from vitrail.bench.attention.plan import HEADS, WIDTH

PartName = Literal["mix", "module"]
PARTS: dict[PartName, str] = {
    "mix": "the mechanism alone: what becomes of queries, keys and values",
    "module": "the whole module: with the projections before and after",
}


class Case:
    """One call of a mechanism on side² vectors of width 192, in three heads."""

    def __init__(self, part: PartName, mechanism: str, side: int, seed: int) -> None:
        self.part, self.mechanism, self.vectors = part, mechanism, side * side
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.module = module_of(mechanism, side)
            self.inputs = self.make_inputs()
            self.upstream = torch.randn_like(self.forward())

    def make_inputs(self) -> tuple[Tensor, ...]:
        if self.part == "module":
            return (torch.randn(1, self.vectors, WIDTH, requires_grad=True),)
        shape = (1, HEADS, self.vectors, WIDTH // HEADS)
        return tuple(torch.randn(shape, requires_grad=True) for _ in ("queries", "keys", "values"))

    def forward(self) -> Tensor:
        if self.part == "module":
            found: Tensor = self.module(*self.inputs)
            return found
        q, k, v = self.inputs
        return self.module.mix(q, k, v, None)

    def step(self) -> None:
        """Forward and backward, as in training."""
        self.clear()
        self.forward().backward(self.upstream)  # type: ignore[no-untyped-call]

    def clear(self) -> None:
        """Forget gradients, so that each call makes its own."""
        for tensor in (*self.inputs, *self.module.parameters()):
            tensor.grad = None


def module_of(mechanism: str, side: int) -> SelfAttention:
    return fitted(MECHANISMS[mechanism], (side, side), prefix=0)(WIDTH, HEADS, qkv_bias=True)


def title(mechanism: str) -> str:
    """Its name with the settings that it is measured with."""
    settings: Sequence[str] = [f"{name} {value}" for name, value in MECHANISMS[mechanism].options.items()]
    return f"{mechanism} ({', '.join(settings)})" if settings else mechanism
