"""A label for each cell: cross-entropy over the cells whose label is known."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.tv_tensors import Mask

from vitrail.tasks import Dense
from vitrail.tasks.dense.predictions import IGNORED, cell_classes
from vitrail.tasks.training_task import TrainingTask


class DenseTraining(TrainingTask):
    """Targets [B, size, size] are maps; the network's grid decides which pixels a cell covers."""

    task = Dense()
    no_mixup = "and a cell of a blend has no single class"

    @staticmethod
    def augment(images: Tensor, targets: Tensor, transforms: Sequence[nn.Module]) -> tuple[Tensor, Tensor]:
        """Transform each map together with its image."""
        pairs = [transformed_pair(*pair, transforms) for pair in zip(images, targets, strict=True)]
        return torch.stack([image for image, _ in pairs]), torch.stack([labels for _, labels in pairs])

    def losses(self, net: Any, pixels: Tensor, target: Tensor) -> Tensor:
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


def transformed_pair(image: Tensor, labels: Tensor, transforms: Sequence[nn.Module]) -> tuple[Tensor, Tensor]:
    """An image and its map [size, size]."""
    # Where a transform leaves a gap it fills in 0; shifted by one, 255 (ignored) is 0.
    mask: Tensor = Mask(labels + 1)
    for transform in transforms:
        image, mask = transform(image, mask)
    return image, mask.as_subclass(Tensor) - 1
