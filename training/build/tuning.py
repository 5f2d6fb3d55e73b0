"""Training all weights of a candidate within a time: the recipe of `vitrail fit`, as long as the time allows."""

import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from vitrail.atomic import draft_of
from vitrail.errors import VitrailError
from vitrail.training.build.candidates import Candidate, Plain
from vitrail.training.build.plan import BuildPlan
from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule
from vitrail.training.faster_steps import FasterSteps
from vitrail.training.instantiate import instantiate
from vitrail.training.memory import fit_or_explain
from vitrail.training.module import ImageModule
from vitrail.training.precision import Execution, measure_training
from vitrail.training.runs import bare_trainer

VALIDATIONS = 10  # of one training, at most
CHECKING = 0.2  # of the time, at most, for validations
LEAST_BATCH, STEPS_AN_EPOCH = 8, 50  # where there are enough images for both
MARGIN = 1.1  # a step takes longer than its measurement: images are read and changed meanwhile
EPOCHS = {True: 30, False: 200}  # at most, pretrained and from scratch
LEAST_EPOCHS = 0.5  # of fine-tuning that is worth its time
BEST, LAST = "best.ckpt", "last.ckpt"
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Length:
    """How long a training is, and how its network computes."""

    steps: int
    execution: Execution
    validations: int = VALIDATIONS

    @property
    def trainer(self) -> Plain:
        """Options of the trainer."""
        return {
            "max_steps": self.steps,
            "val_check_interval": max(1, self.steps // self.validations),
            "check_val_every_n_epoch": None,
            "gradient_clip_val": 1.0,
            "precision": self.execution.precision,
        }

    @property
    def recipe(self) -> Plain:
        """The `trainer` section of a recipe that repeats the steps."""
        options = {"execution": asdict(self.execution)}
        faster = {"class_path": f"{FasterSteps.__module__}.{FasterSteps.__qualname__}", "init_args": options}
        return {**self.trainer, "callbacks": [faster]}


class Divergence(VitrailError):
    """The loss is no number any more."""


def length_of(module: ImageModule, data: ImageDataModule, seconds: float, is_pretrained: bool, device: str) -> Length:
    """As many steps as the time allows, validations included, by the measured time of one."""
    count = min(data.batch_size, data.count("train"))
    measured = measure_training(module.net, module.input, count, device)
    step = measured.seconds_of(count)
    validation = data.count("val") / count * step / 3  # a forward pass alone is a third of a step
    validations = max(1, min(VALIDATIONS, int(CHECKING * seconds / validation)))
    affordable = int((seconds - validations * validation) / (MARGIN * step))
    epoch = max(1, data.count("train") // count)
    return Length(max(0, min(affordable, EPOCHS[is_pretrained] * epoch)), measured.best, validations)


def is_worthwhile(length: Length, data: ImageDataModule) -> bool:
    return length.steps >= LEAST_EPOCHS * data.count("train") / data.batch_size


def module_and_data(
    candidate: Candidate, plan: BuildPlan, data: ImageDataModule, is_flipped: bool
) -> tuple[ImageModule, ImageDataModule]:
    """As `vitrail fit` makes them from the candidate's recipe."""
    options = data_options(candidate, data.count("train"), is_flipped)
    pl.seed_everything(plan.seed, workers=True, verbose=False)
    model = candidate.recipe["model"]
    module, transforms = instantiate(model, options["augment"], data.class_count, data.rule, data.task)
    crop = options.get("crop")
    return module, ImageDataModule(
        **plan.data,
        size=candidate.size,
        crop=RandomCrop(**crop) if crop else None,
        batch_size=options["batch_size"],
        augment=transforms,
    )


def data_options(candidate: Candidate, images: int, is_flipped: bool) -> Plain:
    """The `data` section of the candidate's recipe, with batches that fit so many training images."""
    options = candidate.recipe["data"]
    augment = [one for one in options.get("augment", ()) if is_flipped or "HorizontalFlip" not in one["class_path"]]
    return {**options, "augment": augment, "batch_size": fitting_batch(options["batch_size"], images)}


def fitting_batch(wanted: int, images: int) -> int:
    """Small sets take small batches: an epoch of a few steps learns little."""
    return max(1, min(wanted, images, max(LEAST_BATCH, images // STEPS_AN_EPOCH)))


@dataclass(frozen=True)
class Tuned:
    """A finished or interrupted training."""

    hits: int
    steps: int
    curve: tuple[tuple[int, float], ...]
    is_interrupted: bool


class KeepBest(Callback):
    """Keeps the weights of the first best validation, and the last state, from which the training goes on."""

    def __init__(self, folder: Path, end: float, say: Say) -> None:
        self.best, self.last, self.end, self.say = folder / BEST, folder / LAST, end, say
        self.accuracy = -1.0
        self.curve: list[tuple[int, float]] = []
        self.is_interrupted = False

    def state_dict(self) -> dict[str, Any]:
        return {"accuracy": self.accuracy, "curve": self.curve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.accuracy, self.curve = state_dict["accuracy"], state_dict["curve"]

    def interrupt(self, *args: Any) -> None:
        """The first Ctrl-C ends the training after this step, the second ends the command."""
        self.is_interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.say("stopping after this step; Ctrl-C again ends at once")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not torch.isfinite(outputs["loss"]):
            raise Divergence(f"the loss is no number at step {trainer.global_step}")
        if self.is_interrupted or monotonic() > self.end:
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        accuracy = float(trainer.callback_metrics["val_accuracy"])
        self.curve.append((trainer.global_step, accuracy))
        if accuracy > self.accuracy:
            self.accuracy = accuracy
            save(trainer, self.best, weights_only=True)
        save(trainer, self.last, weights_only=False)
        self.say(f"step {trainer.global_step}/{trainer.max_steps}  validation accuracy {accuracy:.4f}")


def tune(
    module: ImageModule, data: ImageDataModule, length: Length, folder: Path, end: float, device: str, say: Say
) -> Tuned:
    """Train until the steps are done, the time is over, or Ctrl-C; a training that was interrupted goes on."""
    keep, last = KeepBest(folder, end, say), folder / LAST
    faster = FasterSteps(length.execution)
    trainer = bare_trainer([faster, keep], accelerator=ACCELERATORS[device], **length.trainer)
    before = signal.signal(signal.SIGINT, keep.interrupt)
    try:
        start = last if last.is_file() else None
        fit_or_explain(
            lambda: trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True), module, data, device
        )
    except SystemExit as fault:  # how Lightning ends a training on the second Ctrl-C
        raise KeyboardInterrupt from fault
    except Divergence as fault:
        say(f"{fault}: training ends" + (", and its best weights before are kept" if keep.curve else ""))
    finally:
        signal.signal(signal.SIGINT, before)
    hits = round(keep.accuracy * data.count("val"))
    return Tuned(hits, int(trainer.global_step), tuple(keep.curve), keep.is_interrupted)


def steps_done(folder: Path) -> int:
    """Of a training that was interrupted."""
    last = folder / LAST
    return int(torch.load(last, map_location="cpu", weights_only=True)["global_step"]) if last.is_file() else 0


def save(trainer: pl.Trainer, path: Path, weights_only: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft:
        trainer.save_checkpoint(draft, weights_only)
