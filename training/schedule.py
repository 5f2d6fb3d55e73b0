"""The learning rate schedule: linear warm-up, then half a cosine, both counted in steps."""

from dataclasses import dataclass
from math import cos, pi
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class WarmupCosine:
    """Rises from 0 over `warmup` of all steps, then falls to `floor`, both as shares of the peak.

    Args:
        warmup: share of all steps spent rising.
        floor: where the cosine ends, as a share of the peak.
    """

    warmup: float = 0.1
    floor: float = 0.0

    def factor(self, step: int, steps: int) -> float:
        """The factor of the peak rate at this step of `steps`."""
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        done = min(1.0, (step - rising) / max(1, steps - rising))
        return self.floor + (1 - self.floor) * (1 + cos(pi * done)) / 2

    def attach(self, optimizer: Optimizer, steps: int) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: self.factor(step, steps))

    def rejoin(self, checkpoint: dict[str, Any], steps: int) -> None:
        """Set a checkpoint's learning rates to those of a run of `steps`, which may be longer than its own."""
        state, groups = checkpoint["lr_schedulers"][0], checkpoint["optimizer_states"][0]["param_groups"]
        if "base_lrs" in state:
            factor = self.factor(state["last_epoch"], steps)
            state["_last_lr"] = [rate * factor for rate in state["base_lrs"]]
            for group, rate in zip(groups, state["_last_lr"], strict=True):
                group["lr"] = rate


def scale_to(scheduler: Any, rate: float) -> None:
    """Set another peak rate before the first step; groups of parameters keep their share of it."""
    if not isinstance(scheduler, LambdaLR):
        return
    factor = rate / scheduler.optimizer.defaults["lr"]
    if factor == 1:
        return
    scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
    for group, base, multiply in zip(
        scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
    ):
        group["initial_lr"], group["lr"] = base, base * multiply(scheduler.last_epoch)
