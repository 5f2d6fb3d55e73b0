"""One run of a study: the module and the images of `vitrail fit`, with as little around them as a run needs."""

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
from vitrail.data.source import PARTS
from vitrail.models.network import count_flops, count_parameters
from vitrail.training.batches import Canvases
from vitrail.training.module import ImageModule
from vitrail.training.predictions import packed
from vitrail.training.study.building import make
from vitrail.training.study.image_cache import CachedImages
from vitrail.training.study.jobs import Files, Job, Result
from vitrail.training.study.resolved_plan import ResolvedPlan

BINS = 15  # of probabilities, for the calibration error


@dataclass(frozen=True)
class Trained:
    """A finished run, before anybody has asked how long it took."""

    result: Result
    files: Files
    training_seconds: float
    answering_seconds: float
    images_seen: int
    step_seconds: tuple[float, ...]
    check_seconds: tuple[float, ...]


class Best(Callback):
    """Keeps the weights of the first best validation, as `vitrail fit` keeps `best.ckpt`; and a short log."""

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


class Clock(Callback):
    """How long each step and each validation took."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.checks: list[float] = []
        self.images = 0

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.begin = perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps.append(perf_counter() - self.begin)
        self.images += len(batch[1])

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.check = perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.checks.append(perf_counter() - self.check)


def train(settled: ResolvedPlan, job: Job, source: Source, steps: int | None = None) -> Trained:
    """Learn, take the best weights, answer all images; with `steps`, a shorter run that only shows its pace."""
    plan, contender = settled.plan, settled.contender(job.contender)
    pl.seed_everything(job.seed, workers=True, verbose=False)
    model, augment = make(contender, len(settled.classes), settled.rule, job.rate)
    data = CachedImages(source, **plan.data, images=job.size, draw=job.seed, augment=augment)
    best, clock = Best(), Clock()
    trainer = trainer_of(settled, [best, clock], steps)
    for part in PARTS:
        data.part(part)  # decoded before the clock starts
    begin = perf_counter()
    trainer.fit(model, datamodule=data)
    seconds = perf_counter() - begin
    taken = int(trainer.global_step)
    model.load_state_dict(best.weights)
    files = {"log.txt": ("\n".join(best.lines) + "\n").encode()}
    if job.size == settled.sizes[-1] and not job.tries:
        files["best.ckpt"] = checkpoint(trainer)
    model.to(trainer.strategy.root_device).eval()
    begin = perf_counter()
    logits, learnt = (answers(model, data.part(part), data.batch_size) for part in ("test", "train"))
    answering = perf_counter() - begin
    files["predictions.npz"] = packed(logits.softmax(1), data.part("test"))
    result = measured(model, data, best, logits, learnt, taken)
    return Trained(result, files, seconds, answering, clock.images, tuple(clock.steps), tuple(clock.checks))


def trainer_of(settled: ResolvedPlan, callbacks: list[Callback], steps: int | None) -> pl.Trainer:
    """Without loggers, bars and files, each of which takes longer than many a step of a small network."""
    plan = settled.plan
    if steps is not None:
        length: dict[str, Any] = {"max_steps": steps, "val_check_interval": steps, "check_val_every_n_epoch": None}
    elif plan.mode == "equal-steps":
        length = {"max_steps": plan.steps, "val_check_interval": plan.validate_every, "check_val_every_n_epoch": None}
    else:
        length = {"max_epochs": plan.epochs}
        callbacks = [*callbacks, EarlyStopping("val_loss", patience=plan.patience)]
    return pl.Trainer(
        accelerator=plan.device,
        devices=1,
        gradient_clip_val=plan.gradient_clip,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **length,
    )


def checkpoint(trainer: pl.Trainer) -> bytes:
    """The best weights as `vitrail export` reads them, without what only a run taken up again would need."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "best.ckpt"
        trainer.save_checkpoint(path, weights_only=True)
        return path.read_bytes()


def measured(model: ImageModule, data: CachedImages, best: Best, logits: Tensor, learnt: Tensor, steps: int) -> Result:
    """All figures of a run; `logits` [N, K] are its answers to the test images, `learnt` to those it trained on."""
    labels, taught = (torch.from_numpy(data.part(part).labels) for part in ("test", "train"))
    bins = multiclass_calibration_error(logits.softmax(1), labels, len(data.classes), n_bins=BINS)
    return Result(
        train_images=data.count("train"),
        val_images=data.count("val"),
        steps=steps,
        best_step=best.step,
        train_error=share(learnt.argmax(1) != taught),
        val_error=1 - best.accuracy,
        val_loss=best.loss,
        test_error=share(logits.argmax(1) != labels),
        test_loss=float(F.cross_entropy(logits.double(), labels)),
        calibration_error=float(bins),
        parameters=count_parameters(model.net),
        flops=count_flops(model.net, data.rule.size),
    )


def share(wrong: Tensor) -> float:
    return int(wrong.sum()) / len(wrong)


def answers(model: ImageModule, images: Samples, batch_size: int) -> Tensor:
    """Logits [N, K] of canvases, in the batches in which `vitrail test` answers them."""
    canvases = torch.split(Canvases(images).images, batch_size)
    with torch.inference_mode():
        return torch.cat([model(batch.to(model.device)).cpu() for batch in canvases])
