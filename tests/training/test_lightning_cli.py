"""What LightningCLI's documentation shows, each tried: the rows of docs/lightning-cli.md."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vitrail.cli import main

DOCUMENT = Path(__file__).parents[2] / "docs/lightning-cli.md"
SHORT = ("--trainer.max_steps=2", "--trainer.accelerator=cpu", "--data.path=digits", "--data.size=8")
OURS = ("--config=digits-cnn", *SHORT, "--data.images=60", "--trainer.val_check_interval=2", "--run=run")
EPOCHS = (
    "--trainer.max_epochs=2",
    "--trainer.max_steps=-1",
    "--trainer.check_val_every_n_epoch=1",
    "--trainer.val_check_interval=1.0",
)
MINE = ("--model=mine.Classifier", *SHORT, "--run=run")
BEST = "--ckpt_path=run/checkpoints/best.ckpt"
SETTINGS = Path("run/config.yaml")
CALLBACKS = "--trainer.callbacks"
CALLBACK = f"{CALLBACKS}+"
LOGGERS = [
    {"class_path": f"pytorch_lightning.loggers.{kind}", "init_args": {"save_dir": kind}}
    for kind in ("CSVLogger", "TensorBoardLogger")
]


def settings(*names: str) -> Any:
    value: Any = yaml.safe_load(SETTINGS.read_text())
    for name in names:
        value = value[name]
    return value


def lr_of(path: str) -> float:
    return float(torch.load(path, weights_only=True)["optimizer_states"][0]["param_groups"][0]["lr"])


@dataclass(frozen=True)
class Row:
    """A command, and what it does; `before` are commands that it needs."""

    name: str
    command: tuple[str, ...]
    shows: Callable[[str], object]  # of what it prints
    code: int = 0
    before: tuple[tuple[str, ...], ...] = field(default=())
    everyday: bool = False


ROWS = [
    Row("print_config", ("fit", *OURS, "--print_config"), lambda out: yaml.safe_load(out)["trainer"]["max_steps"] == 2),
    Row("print_config without nulls", ("fit", *OURS, "--print_config=skip_null"), lambda out: "null" not in out),
    Row(
        "several configs",
        ("fit", "--config=digits-cnn", "--config=b.yaml", *SHORT, "--run=run"),
        lambda _: settings("data", "batch_size") == 7,
    ),
    Row(
        "options after a config",
        ("fit", "--config=b.yaml", "--config=digits-cnn", "--data.batch_size=9", *SHORT, "--run=run"),
        lambda _: settings("data", "batch_size") == 9,
        everyday=True,
    ),
    Row(
        "a config saved by a run",
        ("fit", "--config=run/config.yaml", "--run=again"),
        lambda _: Path("again/config.yaml").is_file(),
        before=(("fit", *OURS),),
    ),
    Row("the seed", ("fit", *OURS, "--seed_everything=7"), lambda _: settings("seed_everything") == 7),
    Row(
        "fast_dev_run",
        ("fit", *OURS, "--trainer.fast_dev_run=true"),
        lambda out: "nothing was saved" in out and not Path("run").exists(),
    ),
    Row(
        "a callback with options",
        ("fit", *OURS, f"{CALLBACKS}=EarlyStopping", f"{CALLBACKS}.monitor=val_loss", f"{CALLBACKS}.patience=5"),
        lambda _: settings("trainer", "callbacks")[0]["init_args"]["patience"] == 5,
    ),
    Row(
        "appending a callback",
        ("fit", *OURS, f"{CALLBACK}=LearningRateMonitor", f"{CALLBACK}=ModelSummary"),
        lambda _: len(settings("trainer", "callbacks")) == 2,
    ),
    Row(
        "a checkpoint callback of one's own",
        ("fit", *OURS, f"{CALLBACK}=ModelCheckpoint", f"{CALLBACKS}.dirpath=more", f"{CALLBACKS}.monitor=val_loss"),
        lambda _: list(Path("more").glob("*.ckpt")) and Path("run/checkpoints/best.ckpt").is_file(),
    ),
    Row(
        "a logger with options",
        ("fit", *OURS, "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=mine"),
        lambda _: list(Path("mine").rglob("metrics.csv")),
    ),
    Row(
        "several loggers",
        ("fit", "--config=digits-cnn", "--config=loggers.yaml", *SHORT, "--run=run", "--trainer.val_check_interval=2"),
        lambda _: list(Path("CSVLogger").rglob("metrics.csv")) and list(Path("TensorBoardLogger").rglob("events*")),
    ),
    Row(
        "a profiler", ("fit", *OURS, "--trainer.profiler=simple"), lambda _: settings("trainer", "profiler") == "simple"
    ),
    Row(
        "stochastic weight averaging",
        ("fit", *OURS, *EPOCHS, f"{CALLBACK}=StochasticWeightAveraging", f"{CALLBACKS}.swa_lrs=0.01"),
        lambda out: "averaged weights" in out,
    ),
    Row(
        "the learning rate finder",
        ("fit", *OURS, f"{CALLBACK}=LearningRateFinder", f"{CALLBACKS}.num_training_steps=14"),
        lambda out: "by the learning rate finder" in out,
    ),
    Row(
        "device statistics",
        ("fit", *OURS, f"{CALLBACK}=DeviceStatsMonitor"),
        lambda _: Path("run/report.html").is_file(),
    ),
    Row(
        "the optimizer",
        ("fit", *OURS, "--optimizer=SGD", "--optimizer.lr=0.125"),
        lambda _: settings("model", "optimizer", "class_path") == "torch.optim.SGD",
        everyday=True,
    ),
    Row(
        "an option of the recipe's optimizer",
        ("fit", *OURS, "--optimizer.lr=0.125"),
        lambda _: settings("model", "optimizer", "init_args")["lr"] == 0.125,
    ),
    Row(
        "the schedule",
        (
            "fit",
            *OURS,
            *EPOCHS,
            "--optimizer=SGD",
            "--optimizer.lr=0.5",
            "--lr_scheduler=ExponentialLR",
            "--lr_scheduler.gamma=0.5",
        ),
        lambda _: lr_of("run/checkpoints/last.ckpt") == 0.125,
    ),
    Row(
        "a schedule that waits for a plateau",
        ("fit", *OURS, *EPOCHS, "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=val_loss"),
        lambda _: settings("model", "schedule", "init_args")["monitor"] == "val_loss",
    ),
    Row(
        "a model by its class",
        ("fit", *MINE, "--model.width=5"),
        lambda _: settings("model", "init_args", "width") == 5,
        everyday=True,
    ),
    Row(
        "init_args on the command line",
        ("fit", *MINE, "--model.init_args.width=5"),
        lambda _: settings("model", "init_args", "width") == 5,
    ),
    Row(
        "data by their class",
        (
            "fit",
            "--model=mine.OfRows",
            "--data=mine.Rows",
            "--data.count=32",
            "--trainer.max_steps=2",
            "--trainer.accelerator=cpu",
            "--run=run",
        ),
        lambda _: settings("data", "init_args", "count") == 32,
    ),
    Row(
        "a model with its own loaders",
        ("fit", "--model=mine.WithLoader", "--trainer.max_steps=2", "--trainer.accelerator=cpu", "--run=run"),
        lambda _: Path("run/checkpoints/last.ckpt").is_file(),
    ),
    Row(
        "an optimizer for a model without one",
        ("fit", "--model=mine.WithoutOptimizer", *SHORT, "--run=run", "--optimizer=SGD", "--optimizer.lr=0.25"),
        lambda _: lr_of("run/checkpoints/last.ckpt") == 0.25,
    ),
    Row("validate a checkpoint", ("validate", BEST), lambda out: "val_accuracy" in out, before=(("fit", *OURS),)),
    Row("test a checkpoint", ("test", BEST), lambda out: "359 images" in out, before=(("fit", *OURS),), everyday=True),
    Row(
        "predict with a checkpoint",
        ("predict", BEST),
        lambda _: Path("run/predictions.csv").is_file(),
        before=(("fit", *OURS),),
    ),
    Row(
        "a checkpoint's hyperparameters",
        ("test", BEST, "--model.lr=0.5"),
        lambda out: "test_loss" in out,
        before=(("fit", *MINE, "--trainer.val_check_interval=2", "--trainer.check_val_every_n_epoch=null"),),
    ),
    Row("help", ("fit", "--help"), lambda out: "vitrail fit --config digits-vit" in out),
    Row("help on every option", ("fit", "--help=all"), lambda out: "--trainer.accumulate_grad_batches" in out),
    Row("help on a class", ("fit", "--trainer.logger.help=CSVLogger"), lambda out: "--trainer.logger.save_dir" in out),
    Row(
        "an unknown option",
        ("fit", *OURS, "--trainer.max_step=3"),
        lambda out: "trainer.max_step" in out,
        code=2,
        everyday=True,
    ),
    Row(
        "a value of another type",
        ("fit", *OURS, "--data.batch_size=many"),
        lambda out: "data.batch_size" in out,
        code=2,
    ),
    Row(
        "an interval longer than an epoch",
        ("fit", *OURS, "--trainer.check_val_every_n_epoch=1", "--trainer.val_check_interval=9"),
        lambda out: "less than or equal to the number of the training batches" in out,
        code=2,
    ),
    Row(
        "no checkpoints",
        ("fit", *OURS, "--trainer.enable_checkpointing=false"),
        lambda out: "leave --trainer.enable_checkpointing out" in out,
        code=2,
    ),
    Row(
        "options before the command",
        ("--config=digits-cnn", "fit"),
        lambda out: "there is no command '--config=digits-cnn'" in out,
        code=2,
    ),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copy(Path(__file__).with_name("own_module.py"), tmp_path / "mine.py")
    (tmp_path / "b.yaml").write_text("data: {batch_size: 7}\n")
    (tmp_path / "loggers.yaml").write_text(yaml.safe_dump({"trainer": {"logger": LOGGERS}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=() if row.everyday else pytest.mark.long) for row in ROWS]
)
def test_row(row: Row, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in row.before:
        assert main(command) == 0
    capsys.readouterr()
    code, printed = main(row.command), capsys.readouterr()
    assert (code, printed.err if code != row.code else "") == (row.code, "")
    assert row.shows(printed.out + printed.err)
    if row.code:
        assert len(printed.err.splitlines()) == 1


def test_the_page_has_these_rows() -> None:
    rows = re.findall(r"^\| ([^|`]+?) \| `", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [row.name for row in ROWS]
    assert len(rows) >= 30
