"""Sequences of labels: cross-entropy at every place, the end included; autoregressive heads by teacher forcing."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.models.decoder import SequenceHead
from vitrail.tasks import LabelSequence
from vitrail.tasks.sequence.predictions import ENDED, sequences_of
from vitrail.tasks.training_task import Pixels, TrainingTask


class SequenceTraining(TrainingTask):
    """Targets [B, longest] are classes in their order, and ENDED after the last."""

    task = LabelSequence()
    no_mixing = "and a blend shows no sequence"
    no_balance = "and an image here has several labels"

    def check(self, net: Any) -> None:
        if not isinstance(net.get_classifier(), SequenceHead):
            raise UsageError(
                f"{type(net).__name__} predicts no sequences: choose vitrail.models.ViT with the head "
                f"{' or '.join(self.task.heads)}"
            )

    def prepare(self, net: Any, targets: np.ndarray, weights: NDArray[np.float64] | None = None) -> None:
        head = net.get_classifier()
        if (most := int((targets != ENDED).sum(axis=1).max())) > head.length:
            raise UsageError(
                f"an image has {most} labels in its sequence, and the head a length of {head.length}: give it more"
            )

    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        head = net.get_classifier()
        vectors = net.forward_head(net.forward_features(pixels), pre_logits=True)
        classes = self.classes_at(target, head.length)
        return self.entropies(head.logits_after(vectors, classes), classes, self.label_smoothing)

    def classes_at(self, target: Tensor, length: int) -> Tensor:
        """The class of each place, [B, L]: the end after the last label."""
        target = F.pad(target, (0, max(0, length - target.shape[1])), value=ENDED)[:, :length]
        return torch.where(target == ENDED, self.classes, target)

    def entropies(self, logits: Tensor, classes: Tensor, smoothing: float = 0.0) -> Tensor:
        """The mean over the places of each image, [B]."""
        each = F.cross_entropy(logits.movedim(-1, 1), classes, label_smoothing=smoothing, reduction="none")
        return each.mean(dim=1)

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The loss is of the network's own sequences: after a mistake it may be high."""
        loss = self.entropies(outputs, self.classes_at(target, outputs.shape[1])).mean()
        predicted, expected = self.task.decisions(outputs.float().cpu().numpy()), target.cpu().numpy()
        exact = [one == other for one, other in zip(sequences_of(predicted), sequences_of(expected), strict=True)]
        return {"val_loss": loss, "val_accuracy": torch.tensor(exact, device=loss.device).float().mean()}

    @staticmethod
    def predictions(outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=-1)

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return ("sequence", "predicted")

    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        predicted = self.task.decisions(prediction[None].numpy())
        return tuple(";".join(names[i] for i in sequences_of(row)[0]) for row in (target[None], predicted))
