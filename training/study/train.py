"""One run of a study: the module and the images of `vitrail fit`, with a minimal trainer."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback, EarlyStopping
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from vitrail.data import Samples, Source
from vitrail.models.input import channels_first
from vitrail.models.network import count_flops, count_parameters
from vitrail.training.faster_steps import FasterSteps
from vitrail.training.module import ImageModule
from vitrail.training.predictions import packed
from vitrail.training.runs import bare_trainer
from vitrail.training.study.building import build_module
from vitrail.training.study.image_cache import CachedDataModule
from vitrail.training.study.jobs import Files, Job, Result, WrongImages
from vitrail.training.study.resolved_plan import ResolvedPlan

BINS = 15  # of probabilities, for the calibration error


@dataclass(frozen=True)
class TrainedRun:
    result: Result
    wrong: WrongImages
    files: Files
    training_seconds: float
    prediction_seconds: float
    images_seen: int
    step_seconds: tuple[float, ...]
    validation_seconds: tuple[float, ...]


class BestWeights(Callback):
    """Keeps the weights of the first best validation, as `vitrail fit` stores them in `best.ckpt`, and a short log."""

    def __init__(self) -> None:
        self.accuracy, self.loss, self.step = -1.0, float("nan"), 0
        self.weights: dict[str, Tensor] = {}
        self.lines: list[str] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        accuracy, loss = (float(trainer.callback_metrics[name]) for name in ("val_accuracy", "val_loss"))
        self.lines.append(f"step {trainer.global_step}  val_accuracy {accuracy:.4f}  val_loss {loss:.4f}")
        if accuracy > self.accuracy:
            self.accuracy, self.loss, self.step = accuracy, loss, trainer.global_step
            self.weights = deepcopy(pl_module.state_dict())


class StopOnPlateau(Callback):
    """Ends a run when half of its validations in a row brought neither a better accuracy nor a lower loss."""

    def __init__(self, validations: int) -> None:
        self.patience = max(1, validations // 2)
        self.accuracy, self.loss, self.without_gain = -1.0, float("inf"), 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        accuracy, loss = (float(trainer.callback_metrics[name]) for name in ("val_accuracy", "val_loss"))
        self.without_gain = 0 if accuracy > self.accuracy or loss < self.loss else self.without_gain + 1
        self.accuracy, self.loss = max(accuracy, self.accuracy), min(loss, self.loss)
        if self.without_gain >= self.patience:
            trainer.should_stop = True


class Timer(Callback):
    """Seconds of each step and each validation."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.validations: list[float] = []
        self.images = 0

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.begin = perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps.append(perf_counter() - self.begin)
        self.images += len(batch[1])

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validation_begin = perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validations.append(perf_counter() - self.validation_begin)


def train(resolved: ResolvedPlan, job: Job, source: Source, steps: int | None = None) -> TrainedRun:
    """Train, load the best weights, predict all images; `steps` shortens the run, for timing alone."""
    plan, contender = resolved.plan, resolved.contender(job.contender)
    pl.seed_everything(job.seed, workers=True, verbose=False)
    model, augment = build_module(contender, len(resolved.classes), resolved.rule, job.rate)
    data = CachedDataModule(source, **plan.data, images=job.size, draw=job.seed, augment=augment)
    best, timer = BestWeights(), Timer()
    faster = [FasterSteps(resolved.execution(job.contender))] if plan.precision == "auto" else []
    trainer = trainer_of(resolved, job, [*faster, best, timer], steps)
    data.decode()  # before the timer starts
    begin = perf_counter()
    trainer.fit(model, datamodule=data)
    seconds = perf_counter() - begin
    steps_taken = int(trainer.global_step)
    model.load_state_dict(best.weights)
    files = {"log.txt": ("\n".join(best.lines) + "\n").encode()}
    if job.size == resolved.sizes[-1] and not job.tries:
        files["best.ckpt"] = checkpoint(trainer)
    model.to(trainer.strategy.root_device).eval()
    begin = perf_counter()
    logits, train_logits = (predict_logits(model, data.part(part), data.batch_size) for part in ("test", "train"))
    predicting = perf_counter() - begin
    files["predictions.npz"] = packed(logits.softmax(1), data.part("test").targets)
    result = result_of(model, data, best, logits, train_logits, steps_taken)
    wrong = WrongImages.of(logits.argmax(1).numpy() != data.part("test").labels)
    times = tuple(timer.steps), tuple(timer.validations)
    return TrainedRun(result, wrong, files, seconds, predicting, timer.images, *times)


def trainer_of(resolved: ResolvedPlan, job: Job, callbacks: list[Callback], steps: int | None) -> pl.Trainer:
    plan = resolved.plan
    if steps is not None:
        length = counted(steps, 1)
    elif plan.mode == "equal-epochs":
        length = {"max_epochs": plan.epochs}
        callbacks = [*callbacks, EarlyStopping("val_loss", patience=plan.patience)]
    elif job.steps is None:
        length = counted(plan.steps, plan.validations)
    else:
        length = counted(job.steps, plan.validations)
        callbacks = [*callbacks, StopOnPlateau(plan.validations)]
    precision = resolved.execution(job.contender).precision
    return bare_trainer(
        callbacks, accelerator=plan.device, precision=precision, gradient_clip_val=plan.gradient_clip, **length
    )


def counted(steps: int, validations: int) -> dict[str, Any]:
    return {"max_steps": steps, "val_check_interval": steps // validations, "check_val_every_n_epoch": None}


def checkpoint(trainer: pl.Trainer) -> bytes:
    """The best weights as `vitrail export` reads them, without the state needed to resume training."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "best.ckpt"
        trainer.save_checkpoint(path, weights_only=True)
        return path.read_bytes()


def result_of(
    model: ImageModule, data: CachedDataModule, best: BestWeights, logits: Tensor, train_logits: Tensor, steps: int
) -> Result:
    """All figures of a run, from its logits [N, K] of the test images and of the training images."""
    labels, train_labels = (torch.from_numpy(data.part(part).labels) for part in ("test", "train"))
    bins = multiclass_calibration_error(logits.softmax(1), labels, len(data.classes), n_bins=BINS)
    return Result(
        train_images=data.count("train"),
        val_images=data.count("val"),
        steps=steps,
        best_step=best.step,
        train_error=share(train_logits.argmax(1) != train_labels),
        val_error=1 - best.accuracy,
        val_loss=best.loss,
        test_error=share(logits.argmax(1) != labels),
        test_loss=float(F.cross_entropy(logits.double(), labels)),
        calibration_error=float(bins),
        parameters=count_parameters(model.net),
        flops=count_flops(model.net, data.rule),
    )


def share(wrong: Tensor) -> float:
    return int(wrong.sum()) / len(wrong)


def predict_logits(model: ImageModule, images: Samples, batch_size: int) -> Tensor:
    """Logits [N, K] of canvases, in the same batches as `vitrail test`."""
    batches = torch.split(channels_first(torch.from_numpy(images.images)), batch_size)
    with torch.inference_mode():
        return torch.cat([model(batch.to(model.device)).cpu() for batch in batches])
