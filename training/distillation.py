"""Distillation: training that also follows a teacher, the network of another run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.errors import DataError, UsageError, first_few
from vitrail.models.checkpoint import Origin, read_checkpoint
from vitrail.models.input import Input
from vitrail.tasks.classification.training import ClassificationTraining
from vitrail.tasks.training_task import TrainingTask, weighted_mean
from vitrail.training.data_module import ImageDataModule


@dataclass(frozen=True)
class Distillation:
    """(1 - weight) · the task's loss + weight · T² · KL(teacher ‖ student), both softened by T (1503.02531).

    Args:
        teacher: the checkpoint of another run, of any network, with the same classes and the same size of canvas.
        weight: of the teacher, above 0; with 1 the labels count for nothing.
        temperature: T, by which the logits of both are divided.
        hard: instead of the divergence, the cross-entropy with the teacher's likeliest class, as in DeiT (2012.12877).
    """

    teacher: str
    weight: float = 0.5
    temperature: float = 2.0
    hard: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise UsageError(f"the teacher's weight in the loss is above 0 and at most 1, not {self.weight}")
        if self.temperature <= 0:
            raise UsageError(f"the temperature of distillation is above 0, not {self.temperature}")

    def losses(self, student: Tensor, teacher: Tensor) -> Tensor:
        """How far the student's logits [B, K] are from the teacher's, for each image, [B]."""
        if self.hard:
            return F.cross_entropy(student, teacher.argmax(dim=1), reduction="none")
        followed, softened = (logits / self.temperature for logits in (student, teacher))
        each = F.kl_div(followed.log_softmax(1), softened.log_softmax(1), reduction="none", log_target=True)
        return self.temperature**2 * each.sum(dim=1)


class Teacher:
    """The network that is followed; no module, so that neither checkpoints nor optimizer of the student hold it."""

    def __init__(self, distillation: Distillation, data: ImageDataModule) -> None:
        self.distillation = distillation
        network, self.origin = read_checkpoint(distillation.teacher)
        self.refuse_unfit(data)
        self.sha256 = digest_of(distillation.teacher)
        self.network = network.requires_grad_(False)
        self.input = Input(self.origin.input)

    def refuse_unfit(self, data: ImageDataModule) -> None:
        """It must know what the student learns, and see what the student sees."""
        there, path = self.origin, self.distillation.teacher
        if (there.task, there.classes) != (data.task, data.classes):
            raise DataError(
                f"the teacher {path} predicts {described(there)}, and the data have the {len(data.classes)} classes "
                f"{first_few(data.classes)}: choose a teacher of the same classes in the same order"
            )
        if data.rule.is_native or there.input.is_native:
            raise UsageError("teacher and student see the same squares: choose another --data.resize than native")
        if there.input.size != data.rule.size:
            raise UsageError(
                f"the teacher {path} sees canvases of {there.input.size} pixels, and this run makes them of "
                f"{data.rule.size}: choose --data.size {there.input.size}, or another teacher"
            )

    def refuse_another(self, origin: Origin) -> None:
        """A resumed run has the teacher that it had before, wherever that file is now."""
        if origin.teacher != self.sha256:
            raise UsageError(
                f"{self.distillation.teacher} is not the teacher that this run had before: give that file as "
                "--model.distillation.teacher, or start a new run"
            )

    def to(self, device: torch.device) -> None:
        self.network.to(device)
        self.input.to(device)

    def loss(
        self, task: TrainingTask, net: Any, pixels: Tensor, target: Tensor, weights: Tensor | None, normalised_by: Input
    ) -> Tensor:
        """Of a batch of the student's pixels; the weights of images hold for both parts."""
        assert isinstance(task, ClassificationTraining)
        logits = net(pixels)
        own = task.losses_of(net, logits, target)
        followed = self.distillation.losses(logits, self.logits(pixels, normalised_by))
        return weighted_mean(torch.lerp(own, followed, self.distillation.weight), weights)

    @torch.no_grad()
    def logits(self, pixels: Tensor, normalised_by: Input) -> Tensor:
        """For the same pixels, blended ones too, normalised by its own statistics in place of the student's."""
        values = pixels * normalised_by.std + normalised_by.mean
        logits: Tensor = self.network((values - self.input.mean) / self.input.std)
        return logits


def refuse_other_task(task: TrainingTask) -> None:
    if not isinstance(task, ClassificationTraining):
        raise UsageError(
            f"a teacher is followed in its probabilities of classes, and these data have {task.task.description}: "
            "leave out distillation"
        )


def described(origin: Origin) -> str:
    if origin.task != "classification":
        return origin.task
    return f"the {len(origin.classes)} classes {first_few(origin.classes)}"


def digest_of(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
