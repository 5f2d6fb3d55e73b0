"""One label an image: cross-entropy, with a margin where the head has one."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.data.source import Targets
from vitrail.models.heads import Cosine
from vitrail.tasks import Classification
from vitrail.tasks.classification.report import ClassificationReport, classification_report
from vitrail.tasks.training_task import TrainingTask


class ClassificationTraining(TrainingTask):
    """Targets [B] are classes, or shares of classes [B, K] where images were blended."""

    task = Classification()

    def losses(self, net: Any, pixels: Tensor, target: Tensor) -> Tensor:
        return self.losses_of(net, net(pixels), target)

    def losses_of(self, net: Any, logits: Tensor, target: Tensor) -> Tensor:
        """The same from the network's logits [B, K]."""
        head = net.get_classifier()
        if isinstance(head, Cosine):
            logits = head.with_margin(logits, target)
        return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing, reduction="none")

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        accuracy = (outputs.argmax(dim=1) == target).float().mean()
        return {"val_loss": F.cross_entropy(outputs, target), "val_accuracy": accuracy}

    @staticmethod
    def predictions(outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=-1)

    def report(self, predictions: Tensor, images: Targets, names: tuple[str, ...]) -> ClassificationReport:
        return classification_report(predictions, torch.from_numpy(images.labels), names)

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return ("class", "predicted", "probability")

    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        best = int(prediction.argmax())
        return names[target], names[best], f"{float(prediction[best]):.6f}"
