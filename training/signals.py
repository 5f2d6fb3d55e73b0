"""Signals that end a run at the end of its step, with a checkpoint, instead of in the middle of it."""

import os
import signal
import subprocess
from threading import current_thread, main_thread
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch

from vitrail.errors import VitrailError
from vitrail.training.ranks import is_first

# Of the terminal, of the system or a scheduler, and of SLURM before a job's time ends, as its script requests.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class RunStopped(VitrailError):
    """A signal ended the run; its checkpoint is written."""


class StopSignals:
    """Remembers the first signal; a second Ctrl-C ends the process at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def listen(self) -> None:
        if current_thread() is main_thread():
            for one in STOPPING:
                signal.signal(one, self.receive)

    def receive(self, number: int, frame: Any) -> None:
        if self.received is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.received = signal.Signals(number)
        if is_first():
            again = "; Ctrl-C again ends it at once" if number == signal.SIGINT else ""
            os.write(2, f"{self.received.name}: the run ends with this step{again}\n".encode())  # print may be at work

    def were_received(self, trainer: pl.Trainer) -> bool:
        """By any process: all end after the same step, and the first knows which signal it was."""
        if trainer.world_size > 1:
            here = torch.tensor(self.received or 0, device=trainer.strategy.root_device)
            if number := int(trainer.strategy.reduce(here, reduce_op="max")):
                self.received = signal.Signals(number)
        return self.received is not None

    def stop(self, place: str, command: str) -> NoReturn:
        assert self.received is not None
        if not is_first():
            raise SystemExit(RunStopped.exit_code)
        queued = requeued() if self.received is signal.SIGUSR1 else ""
        raise RunStopped(f"stopped by {self.received.name} {place}{queued}; this goes on: {command}")


def leave_to_trainer(worker: int) -> None:
    """In a worker of a loader: a terminal and SLURM signal all processes, and the step that ends needs its batches."""
    for one in STOPPING:
        signal.signal(one, signal.SIG_IGN)


def requeued() -> str:
    """Queue the SLURM job again, if this is one, and say so."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return ""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{array}_{task}" if array and task else job
    try:
        subprocess.run(["scontrol", "requeue", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as fault:
        return f", and job {name} could not be queued again ({fault})"
    return f", and job {name} is queued again"
