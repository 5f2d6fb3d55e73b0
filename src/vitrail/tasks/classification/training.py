"""One label an image: cross-entropy, with a margin where the head has one."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitrail.data.source import Targets
from vitrail.errors import UsageError
from vitrail.models.heads import Cosine
from vitrail.tasks import Classification
from vitrail.tasks.classification.balance import class_shares, class_weights
from vitrail.tasks.classification.report import ClassificationReport, classification_report
from vitrail.tasks.training_task import Pixels, TrainingTask


class ClassificationTraining(TrainingTask):
    """Targets [B] are classes, or shares of classes [B, K] where images were blended."""

    task = Classification()
    class_weights: Tensor | None = None  # [K], with balance `weights`
    log_prior: Tensor | None = None  # [K], with balance `logit_adjust`

    def prepare(self, net: Any, targets: np.ndarray, weights: NDArray[np.float64] | None = None) -> None:
        if self.balance == "sampler" and weights is not None:
            raise UsageError(
                "with balance sampler all images of a class are drawn equally often, whatever their weights: choose "
                "balance weights or logit_adjust, or leave out the weights"
            )
        if self.balance == "weights":
            self.class_weights = torch.from_numpy(class_weights(class_shares(targets, self.classes, weights))).float()
        if self.balance == "logit_adjust":
            self.log_prior = torch.from_numpy(class_shares(targets, self.classes, weights)).log().float()

    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        return self.losses_of(net, net(pixels), target)

    def losses_of(self, net: Any, logits: Tensor, target: Tensor) -> Tensor:
        """The same from the network's logits [B, K]."""
        head = net.get_classifier()
        if isinstance(head, Cosine):
            logits = head.with_margin(logits, target)
        if self.log_prior is not None:  # of the loss alone: without it, all classes are equally likely beforehand
            logits = logits + self.log_prior.to(logits.device)
        if self.class_weights is None:
            return self.entropies(logits, target)
        weights, shares = weighed(target, self.class_weights.to(logits.device))
        return self.entropies(logits, shares) * weights

    def entropies(self, logits: Tensor, target: Tensor) -> Tensor:
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


def weighed(target: Tensor, class_weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weights [B] of images, and their targets; of a blend, each share counts with the weight of its class.

    torch's weighted cross-entropy does the same, but would smooth labels towards the classes of large weights.
    """
    if target.ndim == 1:
        return class_weights[target], target
    shares = target * class_weights
    weights = shares.sum(dim=1)
    return weights, shares / weights[:, None]
