"""Resuming a run: from which checkpoint, which settings it keeps, and which may change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.cli import SaveConfigCallback

from vitrail.atomic import write_atomically
from vitrail.errors import UsageError, VitrailError
from vitrail.training.checkpoints import newest_intact
from vitrail.training.exact_resume import KEY as EXACT
from vitrail.training.length import AUTO
from vitrail.training.ranks import is_first
from vitrail.training.recipes import FLAGS, values_of
from vitrail.training.runs import lock

KEY = "vitrail_settings"  # in a checkpoint: the configuration of its run, as in config.yaml
RESUME = "--resume"
LENGTHS = ("trainer.max_steps", "trainer.max_epochs")
# The paths of the images and of the teacher may change, their contents may not; weights to start from are overwritten
# by the checkpoint.
IGNORED = ("run", "resume", "ckpt_path", "weights_only", "data.path", "data.duplicates", "model.distillation.teacher")
MISSING = "not set"


class SaveSettings(SaveConfigCallback):
    """Writes config.yaml, and the same into every checkpoint, so that a resumed run can be compared with it."""

    @cached_property
    def settings(self) -> str:
        return str(self.parser.dump(self.config, skip_unset=False))

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Whole or not at all, as `--resume` reads it."""
        write_atomically(Path(str(trainer.loggers[0].log_dir)) / self.config_filename, self.settings.encode())

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[KEY] = self.settings


class RunIsDone(VitrailError):
    """No error where a run is to go on until it is whole."""

    exit_code = 0


@dataclass(frozen=True)
class Progress:
    """Step and epoch of a checkpoint, and the settings of its run as YAML."""

    path: str
    settings: str
    step: int
    epoch: int
    rows: int  # of metrics.csv
    faster: dict[str, Any] | None  # how its steps were made faster, if they were

    def refuse_if_done(self, trainer: Any, error: type[VitrailError]) -> None:
        """A finished run would train no step, and a shorter one none either."""
        for name, made, limit in (("steps", self.step, trainer.max_steps), ("epochs", self.epoch, trainer.max_epochs)):
            if limit is not None and 0 <= limit <= made:
                raise error(
                    f"the run of {self.path} has trained {made} of {limit} {name} already: give a larger "
                    f"--trainer.max_{name}"
                )


def progress_of(path: str | Path) -> Progress:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if KEY not in content or not content.get("optimizer_states"):
        raise UsageError(
            f"{path} holds no settings of its run, or no state of its optimizer, so the run cannot be resumed: "
            f"start a new one from its weights, {from_weights(path)}"
        )
    rows = content.get(EXACT, {}).get("rows", 0)
    faster = content.get("callbacks", {}).get("FasterSteps")
    return Progress(str(path), content[KEY], content["global_step"], content["epoch"], rows, faster)


def going_on(argv: Sequence[str]) -> list[str]:
    """`--resume` as the checkpoint of the run in `--run` to go on from.

    A run that has none begins: the same command starts a run and, after whatever ended it, goes on with it.
    """
    if RESUME not in argv:
        return list(argv)
    runs = values_of(argv, "--run")
    if not runs:
        raise UsageError("--resume goes on with the run in --run: give --run runs/NAME")
    if values_of(argv, "--ckpt_path"):
        raise UsageError("--resume finds the checkpoint of its run: leave --ckpt_path out")
    run = Path(runs[-1])
    if run.is_dir() and is_first():
        lock(run)  # before its newest checkpoint is chosen
    checkpoint, settings = newest_intact(run / "checkpoints"), run / "config.yaml"
    if checkpoint is not None:
        return [*argv, f"--ckpt_path={checkpoint}"]
    is_its_own = settings.is_file() and not values_of(argv, *FLAGS)
    return [f"--config={settings}", *argv] if is_its_own else list(argv)


def differences(before: str, now: str) -> dict[str, tuple[Any, Any]]:
    """The settings that differ between two configurations in YAML, by dotted name."""
    first, second = flat(yaml.safe_load(before)), flat(yaml.safe_load(now))
    names = dict.fromkeys([*first, *second])
    pairs = {name: (first.get(name, MISSING), second.get(name, MISSING)) for name in names}
    wholes = {name for name in pairs if any(other.startswith(f"{name}.") for other in pairs)}  # nested now
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and name not in wholes}


def with_numbers_of(before: str, trainer: Any) -> None:
    """Lengths of `auto` are those that the run began with."""
    numbers = yaml.safe_load(before)["trainer"]
    for name in ("max_steps", "val_check_interval"):
        if trainer[name] == AUTO:
            trainer[name] = numbers[name]


def flat(settings: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; lists and empty mappings are values."""
    if not isinstance(settings, dict) or not settings:
        return {name: settings}
    return {
        inner: value
        for key, below in settings.items()
        for inner, value in flat(below, f"{name}.{key}" if name else str(key)).items()
    }


def changes(path: str, differences: dict[str, tuple[Any, Any]], explicit: Iterable[str]) -> list[str]:
    """The changed settings that take effect, as text; the first that cannot change is refused by name."""
    applied = []
    for name, (before, now) in differences.items():
        if name in IGNORED or (name.endswith("init_args.pretrained") and now is False):
            continue
        short = name.replace(".init_args", "")
        change = f"{short} was {before} and is now {now}"
        if name in LENGTHS:
            if name not in explicit or now == AUTO:
                raise UsageError(
                    f"{change}: leave --config out, as the checkpoint has the settings of its run; for a longer run "
                    f"give --{name} NUMBER too"
                )
        elif not name.startswith("trainer."):
            raise UsageError(
                f"{change}, and a resumed run keeps it: leave it out, or start a new run from the "
                f"weights, {from_weights(path)}"
            )
        applied.append(f"changed {short}" if isinstance(now, list | dict) else f"{short} {before} → {now}")
    return applied


def from_weights(path: str | Path) -> str:
    return f"--model.net.pretrained {path} in place of --ckpt_path"
