"""The learning rate schedule: linear warm-up, then half a cosine, both counted in steps; or one of torch, by epochs."""

from dataclasses import dataclass
from math import cos, pi
from typing import Any

from pytorch_lightning.cli import LRSchedulerCallable, ReduceLROnPlateau
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


def config_of(schedule: WarmupCosine | LRSchedulerCallable, optimizer: Optimizer, steps: int) -> dict[str, Any]:
    """As Lightning takes it; schedules of torch count epochs, and one that waits for a plateau names its metric."""
    if isinstance(schedule, WarmupCosine):
        return {"scheduler": schedule.attach(optimizer, steps), "interval": "step"}
    made = schedule(optimizer)
    monitored = {"monitor": made.monitor} if isinstance(made, ReduceLROnPlateau) else {}
    return {"scheduler": made, "interval": "epoch", **monitored}


def scale_to(scheduler: Any, rate: float) -> None:
    """Set another peak rate before the first step; groups of parameters keep their share of it."""
    if not hasattr(scheduler, "base_lrs"):
        return
    factor = rate / scheduler.optimizer.defaults["lr"]
    if factor == 1:
        return
    first = [rate * factor for rate in scheduler.get_last_lr()]  # those of the groups, a finder may have changed
    scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
    for group, base, lr in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, first, strict=True):
        group["initial_lr"], group["lr"] = base, lr
