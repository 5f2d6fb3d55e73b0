"""The heads of a network, and how one is put into it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName

# The settings of each head, with their defaults; `Task.heads` says which heads a task has.
HEADS: dict[str, dict[str, int | float]] = {
    "linear": {},
    "cosine": {"scale": 30.0, "margin": 0.35},
    "set": {"queries": 16, "layers": 2, "nothing": 0.2},
    "autoregressive": {"length": 8, "layers": 2},
    "parallel": {"length": 8, "layers": 2},
    "boxes": {"queries": 16, "layers": 3, "nothing": 0.2},
}


def refuse_unfit(head: str, task: TaskName) -> None:
    """Refuse a head that does not predict what the data have."""
    here = TASKS[task]
    if head not in here.heads:
        predicts = " or ".join(one.description for one in TASKS.values() if head in one.heads)
        raise UsageError(
            f"the head {head} predicts {predicts}, and these data have {here.description}: "
            f"choose {', '.join(here.heads)}"
        )


def reads_vectors(head: str, task: TaskName) -> bool:
    """Whether a head reads all vectors of an image instead of the pooled one."""
    return head in ("set", "autoregressive", "parallel", "boxes") or TASKS[task].per_cell


class Cosine(nn.Module):
    """scale · cos(vector, class), and in the loss scale · (cos − margin) for the target class (1801.05599).

    Its weight is decayed: only its direction matters, and if its length grew, steps would turn it less and less.
    """

    def __init__(self, width: int, classes: int, scale: float = 30.0, margin: float = 0.35) -> None:
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.normal_(self.weight, std=width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, D] → logits [B, K]."""
        logits: Tensor = self.scale * F.normalize(x, dim=-1) @ F.normalize(self.weight, dim=-1).T
        return logits

    def with_margin(self, logits: Tensor, target: Tensor) -> Tensor:
        """The logits for the loss; `target` holds labels [B], or shares of classes [B, K]."""
        shares = target if target.ndim == 2 else F.one_hot(target, logits.shape[1])
        return logits - self.scale * self.margin * shares


class ValueHead(nn.Linear):
    """A linear layer with outputs in the units of the data; its weights work on standardised values."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, values: int, *others: Any) -> None:
        super().__init__(width, values, *others)
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("deviation", torch.ones(values))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, …, D] → values [B, …, K]."""
        return super().forward(x) * self.deviation + self.mean

    def standard(self, values: Tensor) -> Tensor:
        """Standardised values: their deviation from the mean, in standard deviations."""
        return (values - self.mean) / self.deviation


class GridHead(nn.Linear):
    """One linear layer for every cell of the grid; prefix vectors, such as the class token, are left out."""

    def __init__(self, width: int, classes: int, grid: tuple[int, int], prefix: int = 0) -> None:
        super().__init__(width, classes)
        self.grid = grid
        self.prefix = prefix

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, prefix + h · w, D] → logits [B, h, w, K]."""
        rows, columns = self.grid
        return super().forward(vectors[:, self.prefix :]).view(vectors.shape[0], rows, columns, self.out_features)


class GridValueHead(ValueHead, GridHead):
    """A `ValueHead` for every cell of the grid."""


def heads_of(network: Any) -> list[nn.Module]:
    """The network's head, or several, whose logits it averages."""
    head = network.get_classifier()
    return [head] if isinstance(head, nn.Module) else list(head)


def put_head(network: nn.Module, head: nn.Module) -> None:
    """Replace the network's head."""
    old: Any = network.get_classifier()  # type: ignore[operator]
    name = next(name for name, module in network.named_modules() if module is old)
    network.set_submodule(name, head)


def put_value_head(network: nn.Module) -> nn.Module:
    """Replace the network's linear head by one of values in the units of the data."""
    old: Any = network.get_classifier()  # type: ignore[operator]
    if not isinstance(old, nn.Linear):
        raise UsageError(
            f"the head of {type(network).__name__} is {type(old).__name__} and not one linear layer, so it cannot "
            "predict values in the units of the data: choose another network"
        )
    if isinstance(old, GridHead):
        put_head(network, GridValueHead(old.in_features, old.out_features, old.grid, old.prefix))
    else:
        put_head(network, ValueHead(old.in_features, old.out_features))
    return network


def zero_head(network: nn.Module) -> nn.Module:
    """Let a linear head start at zero, so that every class is as probable as its bias says; others stay."""
    head: Any = network.get_classifier()  # type: ignore[operator]
    if isinstance(head, nn.Linear):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    return network


def refuse_uneven(size: int, grid: tuple[int, int]) -> None:
    """Refuse a grid whose cells would not all cover the same number of pixels."""
    if any(size % side for side in grid):
        raise UsageError(
            f"a grid of {grid[0]}×{grid[1]} cells does not divide an image of {size}: choose a size that it divides"
        )
