"""A label for each place: cross-entropy over the places whose label is known."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from vitrail.tasks import Dense
from vitrail.tasks.dense.predictions import IGNORED, patch_classes
from vitrail.tasks.training_task import TrainingTask


class DenseTraining(TrainingTask):
    """Targets [B, size, size] are maps; what of them a place is asked depends on the network's grid."""

    task = Dense()
    blends = "and a place of a blend has no single class"

    def loss(self, net: Any, pixels: Tensor, target: Tensor) -> Tensor:
        return self.entropy(net(pixels), target, self.label_smoothing)

    def entropy(self, logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """Zero, and not NaN, where no place of a batch is known."""
        classes = self.classes_at(logits, target)
        known = (classes != IGNORED).sum().clamp(min=1)
        whole = F.cross_entropy(
            logits.flatten(0, 2), classes.flatten(), ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum"
        )
        return whole / known

    def classes_at(self, logits: Tensor, target: Tensor) -> Tensor:
        classes: Tensor = patch_classes(target, (logits.shape[1], logits.shape[2]), self.classes)
        return classes

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        classes = self.classes_at(outputs, target)
        right = (outputs.argmax(dim=-1) == classes).sum() / (classes != IGNORED).sum().clamp(min=1)
        return {"val_loss": self.entropy(outputs, target), "val_accuracy": right}

    def answers(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=-1)

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return ("right", "known")

    def cells(self, answer: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        """How many places of the image are right, of those that are known."""
        classes = patch_classes(target[None], (answer.shape[0], answer.shape[1]), len(names))[0]
        return int((answer.argmax(dim=-1).numpy() == classes).sum()), int((classes != IGNORED).sum())
