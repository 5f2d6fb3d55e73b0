"""The faster precision of a network on this machine, measured: bfloat16 is 2 × as fast here and half as fast there."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import torch
from torch import nn

from vitrail.models.input import Input

Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")
ROUNDS = 3
MEASURED = 16  # images of a measured step: what a step takes grows with its images


@dataclass(frozen=True)
class Measured:
    """Seconds of a step in each precision: the least of several, taken in turns."""

    seconds: dict[Precision, float]

    @property
    def faster(self) -> Precision:
        return min(PRECISIONS, key=lambda precision: self.seconds[precision])

    @property
    def least(self) -> float:
        return self.seconds[self.faster]

    def __str__(self) -> str:
        times = self.seconds["32-true"] / self.seconds["bf16-mixed"]
        return f"{self.faster}, since a step in bfloat16 is {times:.2f} × as fast as in float32 here"


def autocast(precision: Precision, device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16) if precision == "bf16-mixed" else nullcontext()


def measure(step: Callable[[], object], device: str, rounds: int = ROUNDS) -> Measured:
    seconds: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
    for number in range(rounds + 1):
        for precision in PRECISIONS:
            begin = perf_counter()
            with autocast(precision, device):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            if number:  # the first is warm-up
                seconds[precision].append(perf_counter() - begin)
    return Measured({precision: min(some) for precision, some in seconds.items()})


def measure_training(network: nn.Module, to_pixels: Input, batch: int, device: str) -> Measured:
    """Of a step forward and back; a copy is trained, since batch statistics of these images are of no use."""
    size = to_pixels.rule.size
    images = to_pixels.normalised(torch.zeros(batch, 3, size, size, dtype=torch.uint8)).to(device)
    copy = deepcopy(network).to(device).train()
    return measure(lambda: copy(images).float().square().mean().backward(), device)
