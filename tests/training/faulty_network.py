"""A network that fails in one of several processes, copied into the folder that a test runs in."""

import os
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from torch import nn

from vitrail.errors import DataError
from vitrail.models import CNN
from vitrail.training import rank_failures
from vitrail.training.ranks import rank_here

rank_failures.TIMEOUT = timedelta(seconds=3)  # not a minute more than a test of it needs
STEP = 4


@dataclass(frozen=True)
class Faulty(CNN):
    """Args:
    how: what happens in a training step.
    where: the rank in which it happens.
    """

    how: Literal["raise", "kill", "hang"] = "raise"
    where: int = 1

    def build(self, classes: int, image_size: int, task: Any = "classification") -> nn.Module:
        network = super().build(classes, image_size, task)
        steps = 0

        def fail(module: nn.Module, inputs: Any) -> None:
            nonlocal steps
            steps += module.training
            if steps != STEP or not module.training or rank_here() != self.where:
                return
            if self.how == "raise":
                raise DataError("a part of the disk cannot be read")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)

        network.register_forward_pre_hook(fail)
        return network
