"""`examples/slurm`: what the script gives srun, with programs in place of SLURM's."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "slurm" / "fit.sbatch"
SRUN = """#!/bin/bash
printf '%s\\n' "$@" > "$OUT"
exit "${SRUN_CODE:-0}"
"""


def submitted(folder: Path, *options: str, **environment: str) -> tuple[int, list[str]]:
    """The exit code of the batch step, and what it runs."""
    srun = folder / "srun"
    srun.write_text(SRUN)
    srun.chmod(0o755)
    given = {"SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4", **environment}
    variables = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder / "argv"), **given}
    done = subprocess.run(["bash", SCRIPT, *options], env=variables, capture_output=True, text=True, check=False)
    argv = folder / "argv"
    return done.returncode, argv.read_text().splitlines() if argv.exists() else []


def test_every_machine_and_device_takes_part_and_options_are_passed_on(tmp_path: Path) -> None:
    code, argv = submitted(tmp_path, "--config", "images-vit", "--data.path", "/shared/my images", "--run", "/shared/r")
    assert code == 0
    assert argv == [
        *("--kill-on-bad-exit=1", "vitrail", "fit", "--config", "images-vit", "--data.path", "/shared/my images"),
        *("--run", "/shared/r", "--resume", "--trainer.num_nodes", "2", "--trainer.devices", "4"),
    ]


def test_a_job_fails_as_its_training_does(tmp_path: Path) -> None:
    assert submitted(tmp_path, "--run", "r", SRUN_CODE="3")[0] == 3


def test_a_number_of_processes_is_needed(tmp_path: Path) -> None:
    code, argv = submitted(tmp_path, "--run", "r", SLURM_NTASKS_PER_NODE="")
    assert code != 0
    assert argv == []


def test_the_job_is_signalled_before_its_end_and_may_be_requeued() -> None:
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", SCRIPT.read_text(), re.MULTILINE))
    assert options["signal"] == "SIGUSR1@120"
    assert options["requeue"] == ""
    assert options["ntasks-per-node"] == options["gpus-per-node"]


def test_the_script_is_valid_bash() -> None:
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_has_no_objection() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
