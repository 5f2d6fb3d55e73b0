"""Several labels an image: one binary decision each, or a set of queries matched with the labels of the image."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.models.set_head import SetHead
from vitrail.tasks import Multilabel
from vitrail.tasks.training_task import Pixels, TrainingTask


class MultilabelTraining(TrainingTask):
    """Targets [B, K] are 1 for each label that an image has."""

    task = Multilabel()
    no_smoothing = "and each label here is a binary decision"
    no_balance = "and an image here has several labels"

    def check(self, net: Any) -> None:
        if self.mixing and isinstance(net.get_classifier(), SetHead):
            name = self.mixing[0]
            raise UsageError(f"{name} blends labels, and the head set matches whole labels with queries: leave it out")

    def prepare(self, net: Any, targets: np.ndarray, weights: NDArray[np.float64] | None = None) -> None:
        head = net.get_classifier()
        if isinstance(head, SetHead) and (most := int(targets.sum(axis=1).max())) > len(head.queries):
            raise UsageError(f"an image has {most} labels, and the head set {len(head.queries)} queries: give it more")

    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        head = net.get_classifier()
        if isinstance(head, SetHead):
            vectors = net.forward_head(net.forward_features(pixels), pre_logits=True)
            return set_losses(head.query_logits(vectors), target, head.nothing)
        return F.binary_cross_entropy_with_logits(net(pixels), target.float(), reduction="none").mean(dim=1)

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        predicted, expected = outputs > 0, target > 0
        both, either = (predicted & expected).sum(dim=1), (predicted | expected).sum(dim=1)
        overlap = torch.where(either > 0, both / either.clamp(min=1), 1.0)  # 1 where both sets are empty
        loss = F.binary_cross_entropy_with_logits(outputs, target.float())
        return {
            "val_loss": loss,
            "val_accuracy": (predicted == expected).all(dim=1).float().mean(),
            "val_overlap": overlap.mean(),
        }

    @staticmethod
    def predictions(outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return ("labels", "predicted")

    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        predicted = (prediction > 0.5).tolist()
        return tuple(";".join(name for name, has in zip(names, row, strict=True) if has) for row in (target, predicted))


def matched(logits: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The queries [n] of one image's logits [Q, K + 1] that best match its labels [n], and the order of these.

    The matching maximises the sum of the probabilities that queries give to their labels (the Hungarian method).
    """
    probabilities = logits.softmax(dim=-1)[:, labels].double().cpu().numpy()
    queries, order = linear_sum_assignment(probabilities, maximize=True)
    return queries, order


def set_losses(logits: Tensor, target: Tensor, nothing: float) -> Tensor:
    """DETR's: cross-entropy of [B, Q, K + 1], with "nothing" as the class of every query without a label."""
    count = logits.shape[-1]
    classes = torch.full(logits.shape[:2], count - 1, device=logits.device)
    for image, row in enumerate(target):
        labels = row.nonzero().flatten()
        queries, order = matched(logits[image].detach(), labels)
        classes[image, torch.from_numpy(queries)] = labels[torch.from_numpy(order)]
    weight = torch.ones(count, device=logits.device)
    weight[-1] = nothing
    each = F.cross_entropy(logits.transpose(1, 2), classes, weight, reduction="none").sum(dim=1)
    return each * (len(each) / weight[classes].sum())
