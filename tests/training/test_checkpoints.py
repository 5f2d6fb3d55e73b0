"""Checkpoints of a run: whole or not there, the one before kept, and a damaged one recognised."""

from pathlib import Path
from zipfile import ZipFile

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from vitrail.cli import main
from vitrail.errors import ModelError
from vitrail.models.checkpoint import damage_of, load_checkpoint
from vitrail.training.checkpoints import LAST, PREVIOUS, WholeFiles, keep, monitored_among, newest_intact
from vitrail.training.progress import progress

FAST = ["--config", "digits-cnn", "--trainer.max_steps=30", "--trainer.val_check_interval=10", "--data.images=200"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    assert main(["fit", *FAST, f"--run={tmp_path / 'run'}", "--trainer.max_steps=20"]) == 0
    return tmp_path / "run"


def flip_a_bit(path: Path) -> None:
    """Of the largest tensor, which torch reads without complaint."""
    with ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda one: one.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + largest.file_size // 2] ^= 1
    path.write_bytes(content)


def step_of(path: Path) -> int:
    step: int = torch.load(path, weights_only=True)["global_step"]
    return step


def test_the_checkpoint_before_the_last_is_kept(run: Path) -> None:
    assert (step_of(run / "checkpoints" / PREVIOUS), step_of(run / "checkpoints" / LAST)) == (10, 20)


class Early(Callback):
    """A signal that Lightning receives before the first step."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        trainer._signal_connector.register_signal_handlers()
        trainer._signal_connector.received_sigterm = True
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def test_a_signal_before_the_first_step_ends_the_run_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in silence, as Lightning would."""
    early = [*progress(), Early()]
    monkeypatch.setattr("vitrail.training.run_cli.progress", lambda: early)
    assert main(["fit", *FAST, f"--run={tmp_path / 'run'}"]) == 1
    assert "stopped by SIGTERM at step 1 of 30; this goes on: vitrail fit" in capsys.readouterr().err


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"a": torch.ones(3)}, path)

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        WholeFiles().save_checkpoint({"a": torch.zeros(3)}, path)
    assert torch.load(path, weights_only=True)["a"].tolist() == [1, 1, 1]
    assert [one.name for one in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("harm", [flip_a_bit, lambda path: path.write_bytes(path.read_bytes()[:-5000])])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    harm: object, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last, previous = (run / "checkpoints" / name for name in (LAST, PREVIOUS))
    assert damage_of(last) is None
    assert newest_intact(run / "checkpoints") == last
    harm(last)  # type: ignore[operator]
    with pytest.raises(ModelError, match=r"last.ckpt is damaged: .*; the one before, .*\.ckpt, is intact"):
        load_checkpoint(last)
    assert newest_intact(run / "checkpoints") == previous
    capsys.readouterr()
    assert main(["fit", *FAST, f"--run={run}", "--resume"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{last} is damaged, so the run goes on from the checkpoint before"
    assert f"resumed from step 10 of {previous} with trainer.max_steps 20 → 30" in lines
    assert step_of(last) == 30


def test_a_run_without_an_intact_checkpoint_is_not_begun_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (run / "checkpoints").iterdir():
        flip_a_bit(path)
    assert main(["fit", *FAST, f"--run={run}", "--resume"]) == 1
    assert "is intact: remove them to begin the run again" in capsys.readouterr().err


def test_the_last_one_is_kept_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / LAST).write_bytes(b"content")
    keep(tmp_path / LAST, tmp_path / PREVIOUS)
    assert (tmp_path / PREVIOUS).read_bytes() == b"content"


def test_another_file_is_no_damaged_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_text("no checkpoint")
    assert damage_of(tmp_path / "x.ckpt") is None
    with pytest.raises(ModelError, match="is not a checkpoint written by"):
        load_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("logged", "chosen"),
    [
        (["val_acc", "val_loss", "train_loss"], ("val_loss", "min")),
        (["val/top1_accuracy", "epoch"], ("val/top1_accuracy", "max")),
        (["train_loss", "val_f1"], None),
    ],
)
def test_a_module_of_ones_own_has_its_best_by_what_it_logs(logged: list[str], chosen: tuple[str, str] | None) -> None:
    found = monitored_among(logged)
    assert (found and (found.name, found.mode)) == chosen
