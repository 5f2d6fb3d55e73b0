"""Signals: the first is remembered, a second Ctrl-C ends the process, and a SLURM job is queued again."""

import os
import signal
import stat
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from vitrail.training.signals import RunStopped, StopSignals

LONE = Mock(world_size=1)


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
