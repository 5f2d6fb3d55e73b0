"""Runs that signals ended at seeded moments, and that went on: the same bytes as of a run that never stopped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["--config=digits-vit", "--data.images=300", "--data.batch_size=32", "--trainer.log_every_n_steps=1"]
RANDOM = ["--model.mixup=0.4", "--model.net.drop_path=0.1"]
BY_STEPS = ["--trainer.max_steps=45", "--trainer.val_check_interval=10"]
BY_EPOCHS = ["--trainer.max_steps=-1", "--trainer.max_epochs=7", "--trainer.val_check_interval=1.0"]
EVERY_OTHER = ["--trainer.check_val_every_n_epoch=2"]
EMA = ["--trainer.callbacks+=pytorch_lightning.callbacks.EMAWeightAveraging", "--trainer.callbacks.decay=0.9"]
WORKERS = ["--data.crop.scale=[0.5,1.0]", "--data.workers=2"]

CASES = {
    "steps, random numbers": [*BY_STEPS, *RANDOM],
    "epochs, averages, workers": [*BY_EPOCHS, *EVERY_OTHER, *EMA, *WORKERS, *RANDOM],
    "steps of three batches": [*BY_STEPS, *RANDOM, "--trainer.accumulate_grad_batches=3"],
    "one batch an epoch": [*BY_STEPS, *RANDOM, "--data.batch_size=240"],
    "no validation": [*BY_STEPS, *RANDOM, "--trainer.limit_val_batches=0"],
}


def interrupted(folder: Path, runs: int, seed: int, options: list[str]) -> list[dict[str, list[str]]]:
    program = [sys.executable, str(Path(__file__).with_name("interrupted.py"))]
    done = subprocess.run(
        [*program, str(folder), str(runs), str(seed), *SMALL, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def equal_to_the_whole(runs: list[dict[str, list[str]]]) -> None:
    assert [run for run in runs if run["differences"]] == []
    assert sum(len(run["signals"]) for run in runs) >= len(runs)  # else nothing was interrupted


def test_an_interrupted_run_is_the_same_run(tmp_path: Path) -> None:
    equal_to_the_whole(interrupted(tmp_path, 1, 1, CASES["epochs, averages, workers"]))


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_fifty_moments(case: str, tmp_path: Path) -> None:
    """Ten runs a case, each ended at one moment or several."""
    equal_to_the_whole(interrupted(tmp_path, 10, 7, CASES[case]))
