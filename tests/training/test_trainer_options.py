"""Options of Lightning's trainer: loggers, averaging, rate finder and fast_dev_run take effect or are refused."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from vitrail.cli import main
from vitrail.models.checkpoint import read_checkpoint
from vitrail.training.runs import loggers
from vitrail.training.schedule import WarmupCosine, scale_to

FAST = ["--config", "digits-cnn", "--trainer.max_steps=4", "--trainer.val_check_interval=2", "--data.images=100"]
FINDER = ["--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks.num_training_steps=14"]
AVERAGING = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"]
EPOCHS = ["--trainer.max_steps=-1", "--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=1"]


def fit(run: Path, *options: str) -> int:
    return main(["fit", *FAST, f"--run={run}", *options])


@pytest.mark.parametrize(
    ("chosen", "kinds"),
    [
        (None, ["Metrics", "TensorBoardLogger"]),
        (True, ["Metrics", "TensorBoardLogger"]),
        (False, ["Metrics"]),
        (TensorBoardLogger("elsewhere"), ["Metrics", "TensorBoardLogger"]),
        ([CSVLogger("elsewhere")], ["Metrics", "CSVLogger"]),
    ],
)
def test_chosen_loggers_are_added_to_metrics_csv(chosen: Any, kinds: list[str], tmp_path: Path) -> None:
    active = loggers(tmp_path / "run", chosen)
    assert [type(logger).__name__ for logger in active] == kinds
    assert Path(active[0].log_dir) == tmp_path / "run"
    if chosen and chosen is not True:
        assert active[1] is (chosen[0] if isinstance(chosen, list) else chosen)


def test_a_logger_from_the_command_line_logs_the_same_metrics(tmp_path: Path) -> None:
    logger = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path / 'mine'}"]
    assert fit(tmp_path / "run", *logger) == 0
    (mine,) = (tmp_path / "mine").rglob("metrics.csv")
    assert mine.read_text() == (tmp_path / "run/metrics.csv").read_text()
    assert not list((tmp_path / "run").glob("events.out*"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (AVERAGING, "StochasticWeightAveraging counts epochs: give --trainer.max_epochs"),
        (["--trainer.enable_checkpointing=false"], "leave --trainer.enable_checkpointing out"),
        (["--trainer.use_distributed_sampler=true"], "leave --trainer.use_distributed_sampler out"),
        (["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp_spawn"], "choose ddp"),
        (["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_acuracy"], "val_acuracy"),
    ],
)
def test_options_without_effect_are_refused_in_one_line(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(tmp_path / "run", *options) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert reason in error


@pytest.mark.parametrize(
    ("logger", "reason"),
    [
        ("CometLogger", "pip install -U 'comet-ml"),
        ("WandbLogger", "pip install -U 'wandb"),
        ("NeptuneLogger", "trainer.logger: there is no NeptuneLogger: a class of another package is named with its"),
        ("unknown.Logger", "unknown.Logger: No module named 'unknown': install the package that has it (see"),
        ("CSVLogger", "pytorch_lightning.loggers.CSVLogger: the following arguments are required: save_dir (see"),
    ],
)
def test_a_logger_that_cannot_be_made_is_refused_before_anything_is_written(
    logger: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(tmp_path / "run", f"--trainer.logger={logger}") == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert reason in error
    assert list(tmp_path.iterdir()) == []


def test_a_logger_for_a_test_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", f"--ckpt_path={checkpoint}", "--trainer.logger=true"]) == 2
    assert "logs nothing" in capsys.readouterr().err


def test_a_partial_test_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A share: typing may keep `int | float` in another order, and then 1 is read as 1.0, all batches."""
    assert main(["test", f"--ckpt_path={checkpoint}", "--trainer.limit_test_batches=0.5"]) == 2
    assert "predictions for only 128 of 359 test images" in capsys.readouterr().err


def test_fast_dev_run_saves_nothing_and_names_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", "--trainer.fast_dev_run=true") == 0
    assert "ckpt" not in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_a_run_that_no_longer_improves_stops_on_its_schedule_and_names_its_best_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No accuracy rises by one, so that two validations after the first end the run."""
    plateau = {"monitor": "val_accuracy", "mode": "max", "patience": 2, "min_delta": 1.0}
    stopping = {"class_path": "pytorch_lightning.callbacks.EarlyStopping", "init_args": plateau}
    (tmp_path / "stopping.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [stopping]}}))
    options = [f"--config={tmp_path / 'stopping.yaml'}", "--trainer.max_steps=40", "--trainer.log_every_n_steps=1"]
    assert fit(tmp_path / "run", *options, "--trainer.callbacks+=LearningRateMonitor") == 0
    *_, reason, best, report, following = capsys.readouterr().out.splitlines()
    assert reason.startswith("stopped at step 6 of 40: Monitored metric val_accuracy did not improve in the last 2")
    assert best == f"best checkpoint: {tmp_path / 'run/checkpoints/best.ckpt'}"
    assert report == f"report: {tmp_path / 'run/report.html'}"
    assert following.endswith("best.ckpt")
    with (tmp_path / "run/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    accuracies = [float(row["val_accuracy"]) for row in rows if row["val_accuracy"]]
    assert len(accuracies) == 3
    rates = [float(row["lr-AdamW/pg1"]) for row in rows if row["lr-AdamW/pg1"]]
    assert rates == pytest.approx([0.002 * WarmupCosine(0.1).factor(step, 40) for step in range(6)])
    assert main(["validate", f"--ckpt_path={tmp_path / 'run/checkpoints/best.ckpt'}"]) == 0
    assert f"val_accuracy {max(accuracies):.4f}" in capsys.readouterr().out


def test_without_validation_the_last_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", "--trainer.limit_val_batches=0") == 0
    named = capsys.readouterr().out.splitlines()[-1].rpartition(" ")[2]
    assert named.endswith("last.ckpt")
    assert Path(named).is_file()


def test_the_found_learning_rate_is_the_peak_of_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monitor = ["--trainer.callbacks+=LearningRateMonitor", "--trainer.log_every_n_steps=1"]
    assert fit(tmp_path / "run", *FINDER, *monitor) == 0
    captured = capsys.readouterr()
    (line,) = (line for line in captured.out.splitlines() if line.startswith("learning rate"))
    suggested = float(line.split()[2].rstrip(","))
    with (tmp_path / "run/metrics.csv").open() as file:
        rates = [float(row["lr-AdamW/pg1"]) for row in csv.DictReader(file) if row["lr-AdamW/pg1"]]
    assert rates == pytest.approx([suggested * WarmupCosine(0.1).factor(step, 4) for step in range(4)], rel=0.01)
    assert not list(tmp_path.glob(".lr_find*"))


def test_averaged_weights_are_validated_saved_and_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*EPOCHS, "--trainer.val_check_interval=1.0", *AVERAGING, "--trainer.callbacks.swa_epoch_start=1"]
    assert fit(tmp_path / "run", *options) == 0
    out = capsys.readouterr().out
    assert f"averaged weights: {tmp_path / 'run/checkpoints/last.ckpt'}  val_accuracy" in out
    network, origin = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert origin.averaged
    raw = fit(tmp_path / "raw", *EPOCHS, "--trainer.val_check_interval=1.0")
    assert raw == 0
    other, origin = read_checkpoint(tmp_path / "raw/checkpoints/last.ckpt")
    assert not origin.averaged
    assert not torch.equal(network.state_dict()["head.weight"], other.state_dict()["head.weight"])
    assert main(["test", f"--ckpt_path={tmp_path / 'run/checkpoints/last.ckpt'}"]) == 0


def test_scale_to_changes_the_peak_of_a_schedule() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    schedule = WarmupCosine(0.0).attach(optimizer, 10)
    scale_to(schedule, 0.5)
    rates = []
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.5 * WarmupCosine(0.0).factor(step, 10) for step in range(3)])
