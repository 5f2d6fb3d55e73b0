"""How a network computes fastest on this machine, measured: bfloat16 is 2 × as fast here and half as fast there."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.models.input import Input, blank
from vitrail.models.timm_models import fused_attention, plain_attention

Precision = Literal["32-true", "bf16-mixed"]
ROUNDS = 3
MEASURED = 16  # images of a measured step, at least: what a step takes grows with its images
ENOUGH = 0.5  # seconds of a step on a CPU; a longer one shows no more
FAR_BEHIND = 1.5  # times the fastest
ALIKE = 1.05  # times the fastest


@dataclass(frozen=True)
class Execution:
    """In which precision a network computes, how its kernels lie in memory, and whether attention is one call."""

    precision: Precision = "32-true"
    is_channels_last: bool = False
    has_fused_attention: bool = True

    def __str__(self) -> str:
        layout = " in channels last" if self.is_channels_last else ""
        return f"{self.precision}{layout}{'' if self.has_fused_attention else ' without fused attention'}"

    def autocast(self, device: str) -> AbstractContextManager[object]:
        return torch.autocast(device, torch.bfloat16) if self.precision == "bf16-mixed" else nullcontext()

    def arrange(self, network: Any) -> None:
        """Kernels keep their values and shapes."""
        network.to(memory_format=torch.channels_last if self.is_channels_last else torch.contiguous_format)
        if not self.has_fused_attention:
            for module in fused_attention(network):
                module.fused_attn = False

    @contextmanager
    def arranged(self, network: Any) -> Iterator[None]:
        """Only inside the `with`."""
        with nullcontext() if self.has_fused_attention else plain_attention(network):
            self.arrange(network)
            try:
                yield
            finally:
                PLAIN.arrange(network)


PLAIN = Execution()


@dataclass(frozen=True)
class Measured:
    """Seconds of a step of so many images by execution, the plainest first."""

    seconds: dict[Execution, float]
    images: int

    @property
    def best(self) -> Execution:
        """The plainest of those that are about as fast as the fastest."""
        fastest = min(self.seconds.values())
        return next(one for one, seconds in self.seconds.items() if seconds <= ALIKE * fastest)

    def seconds_of(self, batch: int) -> float:
        """Of a step of the best."""
        return self.seconds[self.best] * batch / self.images

    def __str__(self) -> str:
        speeds = ", ".join(
            f"{one} {self.seconds[PLAIN] / seconds:.2f} ×" for one, seconds in self.seconds.items() if one != PLAIN
        )
        return f"{self.best} (speed relative to float32 here: {speeds})"


def executions(network: nn.Module, device: str) -> list[Execution]:
    """On a CPU torch's fused attention is faster in float32, and slower in bfloat16, than what it fuses."""
    formats = (False, True) if has_overlapping_windows(network) else (False,)
    plain = [Execution(precision, is_last) for precision in get_args(Precision) for is_last in formats]
    if device != "cpu" or not fused_attention(network):
        return plain
    return plain + [replace(one, has_fused_attention=False) for one in plain if one.precision == "bf16-mixed"]


def has_overlapping_windows(network: nn.Module) -> bool:
    """Whether convolutions do more than to cut an image into patches, which no memory format makes faster."""
    return any(isinstance(one, nn.Conv2d) and one.kernel_size != one.stride for one in network.modules())


def measure(
    network: nn.Module, step: Callable[[], object], device: str, rounds: int = ROUNDS
) -> dict[Execution, float]:
    """Seconds of a step: the least of several, taken in turns; what is far behind takes no further turn."""
    least: dict[Execution, float] = {}
    racing = [one for one in executions(network, device) if works(one, network, step, device)]
    for _ in range(rounds):
        for one in racing:
            with one.arranged(network):
                seconds = timed(step, one, device)
            least[one] = min(seconds, least.get(one, seconds))
        racing = [one for one in racing if least[one] <= FAR_BEHIND * min(least.values())]
    return least


def works(one: Execution, network: nn.Module, step: Callable[[], object], device: str) -> bool:
    """A first step, which warms up; code that counts on the usual memory format may refuse another."""
    try:
        with one.arranged(network):
            timed(step, one, device)
    except RuntimeError:
        if not one.is_channels_last:
            raise
        return False
    return True


def timed(step: Callable[[], object], execution: Execution, device: str) -> float:
    begin = perf_counter()
    with execution.autocast(device):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - begin


def measure_training(network: nn.Module, to_pixels: Input, batch: int, device: str) -> Measured:
    """Of a step forward and back; a copy is trained, since batch statistics of these images are of no use."""
    copy, pixels = deepcopy(network).to(device).train(), blank_pixels(to_pixels, batch, device)
    with without_draws():
        images = measured_images(copy, pixels, device)
        return Measured(measure(copy, lambda: forward_and_back(copy, pixels[:images]), device), images)


def blank_pixels(to_pixels: Input, batch: int, device: str) -> Tensor:
    if to_pixels.rule.width is not None:
        raise UsageError("--precision auto measures batches of images, and these data are vectors: leave it out")
    blanks: Tensor = to_pixels.normalised(blank(to_pixels.rule, batch))
    return blanks.to(device)


def without_draws() -> AbstractContextManager[None]:
    """What dropout draws inside is drawn again after it."""
    return torch.random.fork_rng(devices=range(torch.cuda.device_count()))


def measured_images(network: nn.Module, pixels: Tensor, device: str) -> int:
    """All of a batch on a GPU, whose small steps wait for their launch; on a CPU as many as take long enough."""
    if device == "cuda" or len(pixels) <= MEASURED:
        return len(pixels)
    seconds = timed(lambda: forward_and_back(network, pixels[:MEASURED]), PLAIN, device)
    return min(len(pixels), max(MEASURED, int(MEASURED * ENOUGH / seconds)))


def forward_and_back(network: nn.Module, pixels: Tensor) -> None:
    network.zero_grad()
    network(pixels).float().square().mean().backward()
