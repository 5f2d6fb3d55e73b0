"""A label for each cell: cross-entropy over the cells whose label is known."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from vitrail.tasks import Dense
from vitrail.tasks.dense.predictions import IGNORED, cell_classes
from vitrail.tasks.training_task import Pixels, TrainingTask


class DenseTraining(TrainingTask):
    """Targets [B, size, size] are maps; the network's grid decides which pixels a cell covers."""

    task = Dense()
    no_mixing = "and a cell of a blend has no single class"
    no_balance = "and each cell here has one of its own"

    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        return self.entropies(net(pixels), target, self.label_smoothing)

    def entropies(self, logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """Of each image, so that every known cell of the batch counts the same; zero, and not NaN, if there is none."""
        classes = self.classes_at(logits, target)
        known = (classes != IGNORED).sum().clamp(min=1)
        cells = F.cross_entropy(
            logits.movedim(-1, 1), classes, ignore_index=IGNORED, label_smoothing=smoothing, reduction="none"
        )
        return cells.sum(dim=(1, 2)) * (len(cells) / known)

    def classes_at(self, logits: Tensor, target: Tensor) -> Tensor:
        classes: Tensor = cell_classes(target, (logits.shape[1], logits.shape[2]), self.classes)
        return classes

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        classes = self.classes_at(outputs, target)
        accuracy = (outputs.argmax(dim=-1) == classes).sum() / (classes != IGNORED).sum().clamp(min=1)
        return {"val_loss": self.entropies(outputs, target).mean(), "val_accuracy": accuracy}

    @staticmethod
    def predictions(outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=-1)

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return ("right", "known")

    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        """The numbers of correct and of known cells."""
        classes = cell_classes(target[None], (prediction.shape[0], prediction.shape[1]), len(names))[0]
        return int((prediction.argmax(dim=-1).numpy() == classes).sum()), int((classes != IGNORED).sum())
