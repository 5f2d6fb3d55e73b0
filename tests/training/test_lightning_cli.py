"""What the documentation of LightningCLI shows, each tried by the command; docs/lightning-cli.md lists the same."""

import csv
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from vitrail.cli import main
from vitrail.training.cli import CommandLine, run
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule

VERDICTS = ("works", "refused", "not read")
PAGE = Path(__file__).parents[2] / "docs/lightning-cli.md"
CPU = "--trainer.max_steps=2 --trainer.accelerator=cpu"
IMAGES = "--data.path=digits --data.size=8 --data.images=100 --data.batch_size=40"  # two steps are an epoch
CNN = "--model.net=CNN --model.net.width=8 --model.net.stages=1 --model.net.blocks=1"
FIT = f"fit --run=run {IMAGES} {CPU}"
SMALL, OWN, NESTED = f"{FIT} {CNN}", f"{FIT} --model=mine.Classifier", f"{FIT} --model=mine.Nested --optimizer=Adam"
FILES = {
    "model.yaml": "net: {class_path: vitrail.models.CNN, init_args: {width: 8, stages: 1, blocks: 1}}",
    "own.yaml": "{class_path: mine.Classifier, init_args: {width: 6}}",
    "data.yaml": "{path: digits, size: 8, images: 100, batch_size: 40}",
    "trainer.yaml": "{max_steps: 2, accelerator: cpu}",
    "first.yaml": "{model: model.yaml, data: data.yaml, trainer: {max_steps: 9, accelerator: cpu}}",
    "second.yaml": "{trainer: {max_steps: 2}, data: {batch_size: 20}}",
}


@dataclass(frozen=True)
class Row:
    """A row of the page: what is shown, what is done, and what follows, by the text that is printed."""

    shown: str
    do: Callable[[], int]
    effect: Callable[[str], bool]
    verdict: str


def works(
    shown: str, command: str, effect: Callable[[str], bool], everyday: bool = False, verdict: str = "works"
) -> Any:
    marks = [] if everyday else [pytest.mark.long]
    return pytest.param(Row(shown, partial(main, shlex.split(command)), effect, verdict), id=shown, marks=marks)


def refused(shown: str, command: str, reason: str, everyday: bool = False) -> Any:
    def is_said(text: str) -> bool:
        return reason in text and len(text.splitlines()) == 1 and not Path("run/config.yaml").exists()

    marks = [] if everyday else [pytest.mark.long]
    return pytest.param(Row(shown, partial(main, shlex.split(command)), is_said, "refused"), id=shown, marks=marks)


def in_python(shown: str, do: Callable[[], int], effect: Callable[[str], bool]) -> Any:
    return pytest.param(Row(shown, do, effect, "works"), id=shown, marks=[pytest.mark.long])


def settings() -> Any:
    return yaml.safe_load(Path("run/config.yaml").read_text())


def last(path: str = "run/checkpoints/last.ckpt") -> Any:
    return torch.load(path, weights_only=True)


def metrics(path: Path | str = "run/metrics.csv") -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def optimizer(checkpoint: Any) -> Any:
    return checkpoint["optimizer_states"][0]["param_groups"][0]


def same_weights(one: str, other: str) -> bool:
    first, second = (last(path)["state_dict"] for path in (one, other))
    return all(torch.equal(value, second[name]) for name, value in first.items())


def made_again() -> bool:
    """The file in the run makes the same run."""
    assert main(["fit", "--config=run/config.yaml", "--run=again"]) == 0
    return same_weights("run/checkpoints/last.ckpt", "again/checkpoints/last.ckpt")


def longer() -> bool:
    checkpoint = "--ckpt_path=run/checkpoints/last.ckpt"
    assert main(["fit", checkpoint, "--run=longer", "--trainer.max_steps=4"]) == 0
    return last("longer/checkpoints/last.ckpt")["global_step"] == 4  # type: ignore[no-any-return]


def evaluated(text: str) -> bool:
    checkpoint = "--ckpt_path=run/checkpoints/best.ckpt"
    assert [main([verb, checkpoint]) for verb in ("validate", "test", "predict")] == [0, 0, 0]
    return Path("run/predictions.npz").is_file() and len(metrics("run/predictions.csv")) == 359


def profiled(text: str) -> bool:
    return "run_training_batch" in Path("run/fit-profile.txt").read_text()


def from_python() -> int:
    """`run` of the command in a program."""
    command = run("fit", shlex.split(SMALL)[1:])
    assert isinstance(command, CommandLine)
    return int(command.trainer.global_step != 2 or command.datamodule.class_count != 10)


class OwnLightningCLI(LightningCLI):
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for given, needed in (("size", "image_size"), ("resize", "resize"), ("patch", "patch")):
            parser.link_arguments(f"data.{given}", f"model.{needed}")
        parser.link_arguments("data.class_count", "model.classes", apply_on="instantiate")
        parser.link_arguments("data.task", "model.task", apply_on="instantiate")
        parser.set_defaults({"data.batch_size": 40})


def by_own_cli() -> int:
    """vitrail's module and data in a LightningCLI of one's own."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    cli = OwnLightningCLI(
        ImageModule,
        ImageDataModule,
        run=False,
        auto_configure_optimizers=False,
        trainer_defaults={"max_steps": 2, "accelerator": "cpu", **quiet},
        args=shlex.split(f"{CNN} --data.path=digits --data.size=8 --data.images=100"),
    )
    cli.trainer.fit(cli.model, cli.datamodule)
    print(f"step {cli.trainer.global_step} epoch {cli.trainer.current_epoch}")
    return 0


ROWS = [
    works(
        "`--print_config`",
        f"{SMALL} --print_config",
        lambda text: yaml.safe_load(text)["data"]["batch_size"] == 40 and not Path("run").exists(),
        everyday=True,
    ),
    works(
        "`--print_config=skip_null,skip_default`",
        f"{SMALL} --print_config=skip_null,skip_default",
        lambda text: yaml.safe_load(text)["trainer"] == {"max_steps": 2, "accelerator": "cpu"},
    ),
    refused(
        "`--print_config` where a default is no plain value",
        f"{SMALL} --trainer.callbacks=Timer --print_config",
        "--print_config writes plain values, give one here",
    ),
    works(
        "`--config one.yaml --config two.yaml`",
        "fit --run=run --config first.yaml --config second.yaml",
        lambda text: last()["global_step"] == 2 and settings()["data"]["batch_size"] == 20,
        everyday=True,
    ),
    works(
        "`-c one.yaml`, then an option",
        "fit --run=run -c first.yaml --trainer.max_steps=1",
        lambda text: last()["global_step"] == 1 and settings()["trainer"]["max_steps"] == 1,
    ),
    works(
        "`--trainer trainer.yaml --model model.yaml --data data.yaml`",
        "fit --run=run --trainer trainer.yaml --model own.yaml --data data.yaml",
        lambda text: settings()["model"]["init_args"]["width"] == 6 and last()["global_step"] == 2,
        everyday=True,
    ),
    works(
        "`PL_FIT__TRAINER__LOG_EVERY_N_STEPS=3`",
        f"{SMALL} --print_config",
        lambda text: yaml.safe_load(text)["trainer"]["log_every_n_steps"] is None,
        verdict="not read",
    ),
    refused("`--config one.yaml fit`", "--config first.yaml fit", "no command '--config'"),
    works("`fit --help`", "fit --help=all", lambda text: "--trainer.max_epochs" in text and "--lr_scheduler" in text),
    works("`--model.help CLASS`", "fit --model.help mine.Classifier", lambda text: "--model.width" in text),
    works("`--optimizer.help CLASS`", "fit --optimizer.help=Adam", lambda text: "amsgrad" in text),
    works(
        "`--trainer.callbacks.help CLASS`",
        "fit --trainer.callbacks.help=EarlyStopping",
        lambda text: "patience" in text,
    ),
    works(
        "`--model CLASS --model.ARGUMENT`",
        f"{OWN} --model.width=6",
        lambda text: last()["state_dict"]["net.0.weight"].shape[0] == 6,
        everyday=True,
    ),
    refused("`--model NAME` of an imported class", f"{FIT} --model=Classifier", "takes the import path"),
    works(
        "`--data CLASS --data.ARGUMENT`",
        f"fit --run=run --model=mine.OfRows --data=mine.Rows --data.count=32 {CPU}",
        lambda text: settings()["data"]["init_args"]["count"] == 32,
    ),
    works("no data", f"fit --run=run --model=mine.WithLoader {CPU}", lambda text: last()["global_step"] == 2),
    works(
        "a name in place of `class_path`",
        SMALL,
        lambda text: settings()["model"]["net"]["class_path"] == "vitrail.CNN",
    ),
    works(
        "lists, `+=` and dicts",
        f"{NESTED} --model.widths=[1,2] --model.widths+=3 '--model.table={{a: 1}}' --model.table.b=2",
        lambda text: "[1, 2, 3] {'a': 1, 'b': 2}" in text,
    ),
    works(
        "arguments that are dataclasses",
        f"{NESTED} --model.plan.warmup=9",
        lambda text: "Plan(warmup=9, factors=[1.0])" in text,
    ),
    works(
        "arguments that are classes",
        f"{NESTED} --model.encoder=mine.Encoder --model.encoder.width=5",
        lambda text: (
            "nested 5" in text and "its network is not exported by vitrail: mine.Nested cannot be built" in text
        ),
    ),
    works(
        "`dict_kwargs`",
        f"{FIT} --model=mine.Loose --optimizer=Adam --model.dict_kwargs.extra=3",
        lambda text: "options {'extra': 3}" in text,
    ),
    works(
        "`--trainer.callbacks` as a list",
        f"{SMALL} '--trainer.callbacks=[{{class_path: mine.Speaker, init_args: {{word: hi}}}}, Timer]'",
        lambda text: "hi SingleDeviceStrategy 32-true" in text and len(settings()["trainer"]["callbacks"]) == 2,
    ),
    works("`--trainer.callbacks=CLASS`", f"{SMALL} --trainer.callbacks=mine.Speaker", lambda text: "hello" in text),
    works(
        "`--trainer.callbacks+=CLASS`",
        f"{SMALL} --trainer.callbacks+=mine.Speaker --trainer.callbacks.word=a --trainer.callbacks+=mine.Speaker",
        lambda text: "a SingleDeviceStrategy" in text and "hello SingleDeviceStrategy" in text,
    ),
    works(
        "`EarlyStopping`",
        f"{SMALL} --trainer.max_steps=9 --trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val_loss "
        "--trainer.callbacks.stopping_threshold=9",
        lambda text: "stopped at step 2 of 9" in text,
    ),
    works(
        "`ModelCheckpoint`",
        f"{SMALL} --trainer.callbacks+=ModelCheckpoint --trainer.callbacks.every_n_train_steps=1 "
        "--trainer.callbacks.dirpath=mine --trainer.callbacks.save_top_k=-1",
        lambda text: len(list(Path("mine").glob("*.ckpt"))) == 2 and Path("run/checkpoints/best.ckpt").is_file(),
    ),
    works(
        "`LearningRateMonitor`",
        f"{SMALL} --trainer.callbacks+=LearningRateMonitor --trainer.log_every_n_steps=1",
        lambda text: any(name.startswith("lr-") for name in metrics()[0]),
    ),
    works(
        "`DeviceStatsMonitor`",
        f"{SMALL} --trainer.callbacks+=DeviceStatsMonitor --trainer.callbacks.cpu_stats=true "
        "--trainer.log_every_n_steps=1",
        lambda text: any(name.endswith("cpu_percent") for name in metrics()[0]),
    ),
    works("`ModelSummary`", f"{SMALL} --trainer.callbacks+=RichModelSummary", lambda text: "SmallCNN" in text),
    works(
        "`LearningRateFinder`",
        f"{SMALL} --trainer.callbacks+=LearningRateFinder --trainer.callbacks.num_training_steps=8",
        lambda text: "by the learning rate finder" in text,
    ),
    works(
        "`BatchSizeFinder`",
        f"{SMALL} --trainer.max_steps=-1 --trainer.max_epochs=1 --trainer.callbacks+=BatchSizeFinder "
        "--trainer.callbacks.max_trials=2 --trainer.callbacks.steps_per_trial=1",
        lambda text: last()["global_step"] == 20,  # batches of four
    ),
    works(
        "`StochasticWeightAveraging`",
        f"{SMALL} --trainer.max_steps=-1 --trainer.max_epochs=2 --trainer.callbacks+=StochasticWeightAveraging "
        "--trainer.callbacks.swa_lrs=0.01 --trainer.callbacks.swa_epoch_start=1",
        lambda text: "averaged weights: run/checkpoints/last.ckpt" in text,
    ),
    works(
        "several loggers",
        f"{SMALL} '--trainer.logger=[{{class_path: CSVLogger, init_args: {{save_dir: a}}}}, "
        "{class_path: TensorBoardLogger, init_args: {save_dir: b}}]'",
        lambda text: bool(list(Path("a").rglob("metrics.csv")) and list(Path("b").rglob("events.out*"))),
    ),
    works(
        "hyperparameters in a logger",
        f"{SMALL} --trainer.logger=CSVLogger --trainer.logger.save_dir=a",
        lambda text: yaml.safe_load(next(Path("a").rglob("hparams.yaml")).read_text())["data"]["batch_size"] == 40,
    ),
    refused(
        "`test --trainer.logger`",
        "test --ckpt_path=none.ckpt --config first.yaml --trainer.logger=CSVLogger --trainer.logger.save_dir=a",
        "logs nothing: leave --trainer.logger out",
    ),
    works(
        "`--optimizer`", f"{SMALL} --optimizer=SGD --optimizer.lr=0.3", lambda text: optimizer(last())["momentum"] == 0
    ),
    works(
        "`--optimizer` over `configure_optimizers`",
        f"{OWN} --optimizer=SGD --optimizer.lr=0.3",
        lambda text: optimizer(last())["lr"] == 0.3,
    ),
    works(
        "`--lr_scheduler`",
        f"{SMALL} --optimizer=SGD --optimizer.lr=0.3 --lr_scheduler=ExponentialLR --lr_scheduler.gamma=0.5",
        lambda text: optimizer(last())["lr"] == 0.15,
    ),
    works(
        "`ReduceLROnPlateau` with `monitor`",
        f"{OWN} --optimizer=Adam --lr_scheduler=ReduceLROnPlateau --lr_scheduler.monitor=val_loss",
        lambda text: float(metrics()[-1]["val_loss"]) == pytest.approx(last()["lr_schedulers"][0]["best"]),
    ),
    refused("no optimizer", f"{FIT} --model=mine.WithoutOptimizer", "No `configure_optimizers()` method defined"),
    works("`--seed_everything`", f"{SMALL} --seed_everything=7", lambda text: settings()["seed_everything"] == 7),
    works("`config.yaml` of the run", SMALL, lambda text: made_again(), everyday=True),
    works("`test --ckpt_path`", SMALL, evaluated),
    works("`fit --ckpt_path`", SMALL, lambda text: longer()),
    refused("`--ckpt_path=best`", "test --ckpt_path=best", "there is no checkpoint at best"),
    works(
        "`--trainer.fast_dev_run`",
        f"{SMALL} --trainer.fast_dev_run=true",
        lambda text: "fast_dev_run: nothing was saved" in text and not Path("run/checkpoints").exists(),
    ),
    works(
        "`--trainer.strategy ddp`",
        f"{SMALL} --trainer.strategy=ddp --trainer.devices=1 --trainer.callbacks=mine.Speaker",
        lambda text: "hello DDPStrategy" in text,
    ),
    works(
        "`--trainer.precision`",
        f"{SMALL} --trainer.precision=bf16-mixed --trainer.callbacks=mine.Speaker",
        lambda text: "bf16-mixed" in text,
    ),
    works("`--trainer.profiler simple`", f"{SMALL} --trainer.profiler=simple", profiled),
    works("`--trainer.profiler advanced`", f"{SMALL} --trainer.profiler=advanced", profiled),
    works(
        "`--trainer.profiler pytorch`",
        f"{SMALL} --trainer.profiler=pytorch",
        lambda text: "aten::" in Path("run/fit-profile.txt").read_text() and bool(list(Path("run").glob("*.json"))),
    ),
    refused("`--trainer.barebones`", f"{SMALL} --trainer.barebones=true", "disabled in barebones mode"),
    refused("an unknown option", f"{SMALL} --trainer.max_stepz=3", "--trainer.max_stepz=3", everyday=True),
    refused("a value of another type", f"{SMALL} --trainer.max_steps=many", "Expected a <class 'int'>; given many"),
    in_python("`cli.trainer`, `cli.model` in Python", from_python, lambda text: "best checkpoint" in text),
    in_python("`link_arguments`, `trainer_defaults`, `run=False`", by_own_cli, lambda text: "step 2 epoch 1" in text),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with classes of a user's own and files of options."""
    shutil.copy(Path(__file__).with_name("own_module.py"), tmp_path / "mine.py")
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    environment = dict(os.environ)
    monkeypatch.setenv("PL_FIT__TRAINER__LOG_EVERY_N_STEPS", "3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    os.environ.clear()  # of what a process of several leaves
    os.environ.update(environment)
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("row", ROWS)
def test_what_is_shown_has_its_effect(row: Row, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = row.do()
    output, error = capsys.readouterr()
    assert (code != 0) == (row.verdict == "refused"), error
    assert row.effect(error if code else output), output + error


def test_the_page_lists_what_is_tried() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    listed = [(row[0], row[2].partition(":")[0]) for row in cells if row[2].partition(":")[0] in VERDICTS]
    assert listed == [(row.values[0].shown, row.values[0].verdict) for row in ROWS]
