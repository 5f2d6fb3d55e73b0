"""The calls that are measured: a mechanism alone or with its projections, on seeded vectors, and their memory."""

import gc
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.profiler import ProfilerActivity, profile

from vitrail.attention import SelfAttention, fitted
from vitrail.models.components import MIXERS
from vitrail.rivals import RIVALS, Rival
from vitrail.vectors.grid import Grid, cells_of
from vitrail.vectors.sets import Visible

WIDTH = 192
HEADS = 3

PartName = Literal["mix", "module", "sets"]
PARTS: dict[PartName, str] = {
    "mix": "the mechanism alone, from queries, keys and values to outputs",
    "module": "the whole module, with the projections before and after",
    "sets": "the whole module on two sets in one batch, of which one is half as large and padded",
}


class Case:
    """One call of a mechanism on side² vectors of width 192, in three heads. A rival has no projections apart."""

    def __init__(self, part: PartName, mechanism: str, side: int, seed: int) -> None:
        self.is_whole = part != "mix" or mechanism in RIVALS
        self.mechanism, self.vectors = mechanism, side * side
        self.grids = ((side, side), (side // 2, side)) if part == "sets" else ()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.module: Any = build_module(mechanism, side)
            self.inputs = self.make_inputs()
            self.upstream = torch.randn_like(self.forward())

    def make_inputs(self) -> tuple[Tensor, ...]:
        if self.is_whole:
            return (torch.randn(max(1, len(self.grids)), self.vectors, WIDTH, requires_grad=True),)
        shape = (1, HEADS, self.vectors, WIDTH // HEADS)
        return tuple(torch.randn(shape, requires_grad=True) for _ in ("queries", "keys", "values"))

    def forward(self) -> Tensor:
        if self.grids:
            return self.module(*self.inputs, visible(self.grids))  # type: ignore[no-any-return]
        output: Tensor = self.module(*self.inputs) if self.is_whole else self.module.mix(*self.inputs, None)
        return output

    def step(self) -> None:
        """Forward and backward, as in training."""
        self.clear()
        self.forward().backward(self.upstream)

    def clear(self) -> None:
        """Drop gradients, so that each call allocates its own."""
        for tensor in (*self.inputs, *self.module.parameters()):
            tensor.grad = None


def visible(grids: Sequence[Grid]) -> Visible:
    """What attention sees of sets that fill these grids, padded to the largest."""
    cells = [cells_of(grid) for grid in grids]
    masks = [torch.ones(len(each), dtype=torch.bool) for each in cells]
    positions, mask = pad_sequence(cells, batch_first=True), pad_sequence(masks, batch_first=True)
    return Visible(mask[:, None, None], positions)


def build_module(mechanism: str, side: int) -> SelfAttention | Rival:
    kind: type[SelfAttention | Rival] = MIXERS[mechanism]
    return fitted(kind, (side, side), prefix=0)(WIDTH, HEADS, qkv_bias=True)


def title(mechanism: str) -> str:
    """Its name with the settings that it is measured with."""
    settings: Sequence[str] = [f"{name} {value}" for name, value in MIXERS[mechanism].options.items()]
    return f"{mechanism} ({', '.join(settings)})" if settings else mechanism


def peak_bytes(case: Case) -> int:
    """What forward and backward hold at once beside inputs and weights, by torch's profiler."""
    case.step()  # allocates what later calls reuse
    case.clear()
    gc.collect()  # no earlier object is freed while memory is counted
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        case.step()
    events = profiler.profiler.kineto_results.events()
    return peak((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")


def peak(changes: Iterable[tuple[int, int]]) -> int:
    """The most bytes held at any time; each change is a time and the bytes allocated (negative: freed)."""
    return max(accumulate((count for _, count in sorted(changes, key=lambda change: change[0])), initial=0))
