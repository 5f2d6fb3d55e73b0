"""Signals: the first is remembered, a second Ctrl-C ends the process, and a SLURM job is queued again."""

import os
import signal
import stat
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from vitrail.training.data_module import ImageDataModule
from vitrail.training.exact_resume import seed
from vitrail.training.signals import STOPPING, RunStopped, StopSignals, leave_to_trainer

LONE = Mock(world_size=1)
NUMBERS: Any = [*range(64)]


def test_the_first_signal_is_remembered_and_a_second_ctrl_c_is_immediate() -> None:
    signals = StopSignals()
    assert not signals.were_received(LONE)
    signals.receive(signal.SIGTERM, None)
    signals.receive(signal.SIGTERM, None)  # schedulers send several
    assert signals.were_received(LONE)
    with pytest.raises(KeyboardInterrupt):
        signals.receive(signal.SIGINT, None)
    with pytest.raises(RunStopped, match="stopped by SIGTERM at step 3 of 9; this goes on: vitrail fit --resume"):
        signals.stop("at step 3 of 9", "vitrail fit --resume")


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"SLURM_JOB_ID": "17"}, "17"),
        ({"SLURM_JOB_ID": "17", "SLURM_ARRAY_JOB_ID": "15", "SLURM_ARRAY_TASK_ID": "2"}, "15_2"),
    ],
)
def test_a_slurm_job_is_queued_again_at_sigusr1(
    environment: dict[str, str], job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"#!/bin/sh\necho $* > {tmp_path / 'words'}\n")
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    signals = StopSignals()
    signals.receive(signal.SIGUSR1, None)
    with pytest.raises(RunStopped, match=f"stopped by SIGUSR1 at step 1, and job {job} is queued again; this goes on"):
        signals.stop("at step 1", "x")
    assert (tmp_path / "words").read_text() == f"requeue {job}\n"
    scontrol.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(RunStopped, match=f"job {job} could not be queued again"):
        signals.stop("at step 1", "x")


def test_other_signals_queue_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    signals = StopSignals()
    signals.receive(signal.SIGTERM, None)
    with pytest.raises(RunStopped, match=r"^stopped by SIGTERM here; this goes on"):
        signals.stop("here", "x")


def test_a_signal_to_another_process_is_known_here() -> None:
    """SLURM's arrive at different moments; the first process queues the job again."""
    strategy = Mock(root_device=torch.device("cpu"))
    several, signals = Mock(world_size=2, strategy=strategy), StopSignals()
    strategy.reduce.side_effect = lambda here, reduce_op: torch.maximum(here, torch.tensor(0))
    assert not signals.were_received(several)
    strategy.reduce.side_effect = lambda here, reduce_op: torch.maximum(here, torch.tensor(int(signal.SIGUSR1)))
    assert signals.were_received(several)
    assert signals.received is signal.SIGUSR1


def test_workers_of_a_loader_leave_signals_to_the_process_that_trains() -> None:
    """A terminal and SLURM signal them, too; torch's would end, and with them the step that is to be finished."""
    loader: Any = DataLoader(NUMBERS, num_workers=1, prefetch_factor=2, worker_init_fn=leave_to_trainer)
    batches = iter(loader)
    assert int(next(batches)) == 0
    for one in STOPPING:
        os.kill(batches._workers[0].pid, one)
    assert [int(batch) for batch in batches] == [*range(1, 64)]


def test_our_loaders_and_those_of_the_user_have_such_workers() -> None:
    ours = ImageDataModule("digits", size=8).train_dataloader()
    assert ours.worker_init_fn is leave_to_trainer
    theirs: Any = DataLoader(NUMBERS, shuffle=True)
    seed(theirs, epoch=0)
    assert theirs.worker_init_fn is leave_to_trainer


def test_a_generator_of_the_users_own_is_left_as_it_is() -> None:
    own = torch.Generator()
    loader: Any = DataLoader(NUMBERS, sampler=RandomSampler(NUMBERS, generator=own))
    before = own.get_state()
    for epoch in range(2):
        seed(loader, epoch)
    assert loader.sampler.generator is own
    assert torch.equal(own.get_state(), before)
    shuffled: Any = DataLoader(NUMBERS, shuffle=True)
    orders = []
    for epoch in (0, 1, 0):
        seed(shuffled, epoch)
        orders.append([int(one) for one in shuffled])
    assert orders[0] == orders[2] != orders[1]
