"""A disk that fills during a run ends it with one line, and nothing that was written before is lost."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from vitrail.cli import main
from vitrail.training.progress import progress
from vitrail.training.runs import keep_rows

FAST = ["--config=digits-cnn", "--trainer.max_steps=20", "--trainer.val_check_interval=10", "--data.images=200"]
LOGS = ["--trainer.log_every_n_steps=1"]


class Filled(Callback):
    """From a step on there is no room for the files of a pattern: what takes their place is always full."""

    def __init__(self, run: Path, pattern: str) -> None:
        self.run, self.pattern, self.aside = run, pattern, dict[Path, Path]()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        if trainer.global_step != 15:
            return
        for path in sorted(self.run.glob(self.pattern)) or [self.run / self.pattern]:
            if path.exists():
                self.aside[path] = path.rename(path.with_suffix(".aside"))
            path.symlink_to("/dev/full")

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Room again at the end."""
        yield
        for path in self.run.rglob("*"):
            if path.is_symlink():
                path.unlink()
        for path, aside in self.aside.items():
            aside.rename(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that always had room."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(["fit", *FAST, *LOGS, f"--run={run}"]) == 0
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return content


def losses(run: Path) -> list[tuple[str, ...]]:
    with (run / "metrics.csv").open() as file:
        return [tuple(row[name] for name in ("step", "train_loss", "val_loss")) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("pattern", "named"),  # drafts are named after their process
    [
        ("checkpoints/.best.ckpt.PID", "/checkpoints/best.ckpt"),
        ("checkpoints/.last.ckpt.PID", "/checkpoints/last.ckpt"),
        ("metrics.csv", ""),
        ("events.out.*", ""),
        (".report.html.PID", "/report.html"),
    ],
)
def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(
    pattern: str,
    named: str,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    filled = Filled(run, pattern.replace("PID", str(os.getpid())))
    with monkeypatch.context() as patch, filled.emptied():
        patch.setattr("vitrail.training.run_cli.progress", lambda: [*progress(), filled])
        capsys.readouterr()
        assert main(["fit", *FAST, *LOGS, f"--run={run}"]) == 1
        assert capsys.readouterr().err.splitlines() == [
            f"vitrail: No space left on device: {run}{named}; once there is room, this goes on: "
            f"vitrail fit --run {run} --resume"
        ]
    assert not (run / "report.html").exists()
    assert main(["fit", f"--run={run}", "--resume"]) == 0
    assert f"report: {run / 'report.html'}" in capsys.readouterr().out.splitlines()
    assert losses(run) == losses(whole)
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(run).items())


def test_a_new_column_of_metrics_is_added_to_all_rows_or_to_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,val_loss\n0,0.5\n1,0.4\n")
    (tmp_path / f".metrics.csv.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        keep_rows(path, None, ["step", "val_accuracy", "val_loss"])
    assert path.read_text() == "step,val_loss\n0,0.5\n1,0.4\n"
    assert keep_rows(path, None, ["step", "val_accuracy", "val_loss"]) == ["step", "val_accuracy", "val_loss"]
    assert path.read_text().split() == ["step,val_accuracy,val_loss", "0,,0.5", "1,,0.4"]
