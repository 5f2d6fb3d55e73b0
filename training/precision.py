"""The faster precision of a network on this machine, measured: bfloat16 is 2 × as fast here and half as fast there."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed"]
ROUNDS = 3


def autocast(precision: Precision, device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16) if precision == "bf16-mixed" else nullcontext()


def faster(step: Callable[[], object], device: str, rounds: int = ROUNDS) -> tuple[Precision, float]:
    """The precision in which a step takes less time, and its seconds: the least of several, taken in turns."""
    precisions: tuple[Precision, ...] = ("32-true", "bf16-mixed")
    seconds: dict[Precision, list[float]] = {precision: [] for precision in precisions}
    for number in range(rounds + 1):
        for precision in precisions:
            begin = perf_counter()
            with autocast(precision, device):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            if number:  # the first is warm-up
                seconds[precision].append(perf_counter() - begin)
    best = min(precisions, key=lambda precision: min(seconds[precision]))
    return best, min(seconds[best])
