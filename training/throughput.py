"""How fast a run trains: images a second, time spent waiting for data, and the share of what the machine multiplies."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from vitrail.models.input import Input
from vitrail.models.network import BACKWARD, count_flops

SIDES = {"cpu": 1024, "cuda": 8192}  # of the matrices that measure the ceiling
PRODUCTS = 3
TYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # all others multiply in float32


@dataclass(frozen=True)
class Speed:
    """Of training steps alone."""

    images_per_second: float
    data_wait: float  # share of the time
    ceiling: float | None  # share of the operations that matrix products of this machine reach

    def __str__(self) -> str:
        share = "" if self.ceiling is None else f", {self.ceiling:.0%} of the matrix ceiling"
        return f"{self.images_per_second:,.0f} images/s, {self.data_wait:.0%} waiting for data{share}"


class Throughput(Callback):
    """Measures the steps between two validations, and logs their speed."""

    def __init__(self) -> None:
        self.speed: Speed | None = None
        self.flops: int | None = None  # of one image, forward and back
        self.begin()

    def begin(self) -> None:
        self.images, self.seconds, self.waited = 0, 0.0, 0.0
        self.end: float | None = None  # of the last step

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Count operations while the network is still on the CPU."""
        if stage == "fit" and isinstance(getattr(pl_module, "input", None), Input):  # a module of ours
            with evaluated(pl_module.net):
                self.flops = BACKWARD * count_flops(pl_module.net, pl_module.input.rule)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.peak = operations_per_second(TYPES.get(trainer.precision or "", torch.float32), pl_module.device)
        self.begin()

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        now = perf_counter()
        if self.end is not None:
            self.waited += now - self.end
            self.seconds += now - self.end
        self.end = now

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = perf_counter()
        self.seconds += now - (self.end or now)
        self.images += images_in(batch) * trainer.world_size
        self.end = now

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit" or not self.images:
            return
        before = perf_counter()
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()  # steps that were begun
        self.seconds += perf_counter() - before
        rate = self.images / self.seconds
        share = None
        if self.flops is not None and all(one.requires_grad for one in pl_module.net.parameters()):  # none is left out
            share = rate * self.flops / (self.peak * trainer.world_size)
        self.speed = Speed(rate, self.waited / self.seconds, share)
        logged = {"images_per_second": rate, "data_wait": self.speed.data_wait}
        for logger in trainer.loggers:
            logger.log_metrics(logged, trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begin()


@contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """Statistics of layers do not change; a copy would not do, for the hooks of a profiler cannot be copied."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def images_in(batch: Any) -> int:
    """As many as its first part has, whatever it is made of."""
    while isinstance(batch, list | tuple | Mapping):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch))
    return len(batch)


def operations_per_second(dtype: torch.dtype, device: torch.device) -> float:
    """What products of square matrices reach: the best of a few."""
    side = SIDES.get(device.type, SIDES["cpu"])
    matrix = torch.ones(side, side, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(PRODUCTS + 1):  # the first warms up, and is the slowest
        begin = perf_counter()
        torch.mm(matrix, matrix)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, perf_counter() - begin)
    return 2 * side**3 / best
