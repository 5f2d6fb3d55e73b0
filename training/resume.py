"""Taking a run up again: which settings it goes on with, and which may be others than before."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.cli import SaveConfigCallback

from vitrail.errors import UsageError

KEY = "vitrail_settings"  # in a checkpoint: the configuration of its run, as in config.yaml
LENGTHS = ("trainer.max_steps", "trainer.max_epochs")
# Where the images are may change, what they are may not; and weights to start from are the checkpoint's in any case.
ELSEWHERE = ("run", "ckpt_path", "weights_only", "data.path")
MISSING = "not set"


class KeepSettings(SaveConfigCallback):
    """Writes config.yaml, and puts the same into every checkpoint, so that a resumed run can be compared with it."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[KEY] = self.parser.dump(self.config, skip_unset=False)


@dataclass(frozen=True)
class Progress:
    """How far the run of a checkpoint had come, and with which settings; as YAML."""

    path: str
    settings: str
    step: int
    epoch: int

    def refuse_if_done(self, trainer: Any) -> None:
        """A run that has ended would train no step, and a shorter one none either."""
        for name, made, limit in (("steps", self.step, trainer.max_steps), ("epochs", self.epoch, trainer.max_epochs)):
            if limit is not None and 0 <= limit <= made:
                raise UsageError(
                    f"the run of {self.path} has made {made} {name} of {limit} already: ask for a longer one, "
                    f"--trainer.max_{name} N"
                )


def progress_of(path: str | Path) -> Progress:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if KEY not in content or not content.get("optimizer_states"):
        raise UsageError(
            f"{path} holds no settings of its run, or no state of its optimizer, so the run cannot be taken up again: "
            f"start a new one from its weights, {from_weights(path)}"
        )
    return Progress(str(path), content[KEY], content["global_step"], content["epoch"])


def differences(before: str, now: str) -> dict[str, tuple[Any, Any]]:
    """Every setting of two configurations in YAML that is not the same, by its dotted name."""
    first, second = flat(yaml.safe_load(before)), flat(yaml.safe_load(now))
    names = dict.fromkeys([*first, *second])
    pairs = {name: (first.get(name, MISSING), second.get(name, MISSING)) for name in names}
    wholes = {name for name in pairs if any(other.startswith(f"{name}.") for other in pairs)}  # now of several parts
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and name not in wholes}


def flat(settings: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; lists and what is empty are settings themselves."""
    if not isinstance(settings, dict) or not settings:
        return {name: settings}
    return {
        inner: value
        for key, below in settings.items()
        for inner, value in flat(below, f"{name}.{key}" if name else str(key)).items()
    }


def changes(path: str, found: dict[str, tuple[Any, Any]], explicit: Iterable[str]) -> list[str]:
    """Of other settings than before, those that take effect, as text; the first that would not is refused by name."""
    applied = []
    for name, (before, now) in found.items():
        if name in ELSEWHERE or (name.endswith("init_args.pretrained") and now is False):
            continue
        short = name.replace(".init_args", "")
        change = f"{short} was {before} and is {now} now"
        if name in LENGTHS:
            if name not in explicit:
                raise UsageError(
                    f"{change}: leave --config out, as the checkpoint brings the settings of its run along; for a "
                    f"longer run give --{name} too"
                )
        elif not name.startswith("trainer."):
            raise UsageError(
                f"{change}, and a run that is taken up again keeps it: leave it out, or start a new run from the "
                f"weights, {from_weights(path)}"
            )
        applied.append(f"other {short}" if isinstance(now, list | dict) else f"{short} {before} → {now}")
    return applied


def from_weights(path: str | Path) -> str:
    return f"--model.net.pretrained {path} in place of --ckpt_path"
