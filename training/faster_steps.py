"""Training steps made faster as was measured: how the network executes, fused updates, a compiled network."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from subprocess import SubprocessError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from vitrail.errors import first_line
from vitrail.models.input import Input
from vitrail.training.precision import ROUNDS, Execution, Measured, blank_pixels, forward_and_back, timed, without_draws

FUSED = (AdamW, Adam, SGD)  # an update takes a third of the time, on a CPU as on a GPU
# Seconds of training that are worth trying: on a CPU it took 101 s to compile for a step that was 1.08 × as fast.
WORTH_TRYING = {"cpu": 3600.0, "cuda": 600.0}


class FasterSteps(Callback):
    """Trains as the measured execution says, with a fused optimizer where torch has one, and compiled on request."""

    def __init__(self, execution: Execution, device: str = "cpu", is_compiled: bool = False) -> None:
        self.execution, self.device, self.is_compiled = execution, device, is_compiled

    def state_dict(self) -> dict[str, Any]:
        """In checkpoints, so that a resumed run rounds as it did before."""
        return {"execution": asdict(self.execution), "device": self.device, "is_compiled": self.is_compiled}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "FasterSteps":
        return cls(Execution(**plain["execution"]), plain["device"], plain["is_compiled"])

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """As the first process measured it: all exchange gradients as they lie in memory."""
        if stage != "fit":
            return
        execution, is_compiled = trainer.strategy.broadcast((self.execution, self.is_compiled))
        network: Any = pl_module.net
        execution.arrange(network)
        if is_compiled:
            import torch._dynamo

            torch._dynamo.config.suppress_errors = True  # what fails to compile later runs as it is
            network.compile()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After a checkpoint was read, which may hold updates that were not fused."""
        for optimizer in trainer.optimizers:
            if can_be_fused(optimizer):
                fuse(optimizer)


def can_be_fused(optimizer: Optimizer) -> bool:
    """Unless its options say otherwise."""
    chosen = optimizer.defaults
    return type(optimizer) in FUSED and chosen["fused"] is chosen["foreach"] is None and not chosen["differentiable"]


def fuse(optimizer: Optimizer) -> None:
    """Fused updates take the elements of a parameter and of its state as they lie in memory, so in one order."""
    for group in optimizer.param_groups:
        group["fused"] = True
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                state[name] = (
                    laid_like(parameter, value) if value.shape == parameter.shape else value.to(parameter.device)
                )


def laid_like(parameter: Tensor, value: Tensor) -> Tensor:
    return value if value.stride() == parameter.stride() else torch.empty_like(parameter).copy_(value)


@dataclass(frozen=True)
class Compilation:
    """Whether a network is compiled, and why."""

    pays: bool
    reason: str

    def __str__(self) -> str:
        return f"compiled: {self.reason}" if self.pays else f"not compiled: {self.reason}"


def compilation(
    network: nn.Module, to_pixels: Input, measured: Measured, batch: int, steps: int, device: str
) -> Compilation:
    """Tried on a copy where so many steps are long enough, which few are."""
    if steps * measured.seconds_of(batch) < WORTH_TRYING[device]:
        return Compilation(False, f"less than {WORTH_TRYING[device] / 60:.0f} minutes of steps do not repay it")
    try:
        with without_draws():
            return tried(network, blank_pixels(to_pixels, batch, device), measured.best, steps, device)
    except (RuntimeError, SubprocessError, OSError) as fault:  # of torch, or of the C++ compiler that it calls
        return Compilation(False, f"it fails with {first_line(fault)}")
    finally:
        torch.compiler.reset()


def tried(network: nn.Module, pixels: Tensor, execution: Execution, steps: int, device: str) -> Compilation:
    eager, compiled = (deepcopy(network).to(device).train() for _ in range(2))
    for one in (eager, compiled):
        execution.arrange(one)
    compiled.compile()

    def seconds(work: Callable[[nn.Module, Tensor], None], one: nn.Module) -> float:
        return timed(lambda: work(one, pixels), execution, device)

    cost = seconds(first_calls, compiled)
    turns = [(seconds(forward_and_back, eager), seconds(forward_and_back, compiled)) for _ in range(ROUNDS)]
    before, after = (min(taken) for taken in zip(*turns, strict=True))
    saved = steps * (before - after)
    reason = f"a step is {before / after:.2f} × as fast then, which saves {saved:.0f} s for {cost:.0f} s"
    return Compilation(saved > cost, reason)


def first_calls(network: nn.Module, pixels: Tensor) -> None:
    """Training and evaluation are compiled each on its own."""
    forward_and_back(network.train(), pixels)
    with torch.no_grad():
        network.eval()(pixels)
    network.train()
