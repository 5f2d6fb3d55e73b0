"""Boxes with labels: each query is matched with a box of the target, or with none; the loss is of all layers."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import generalized_box_iou, generalized_box_iou_loss

from vitrail.errors import UsageError
from vitrail.models.box_head import BoxHead
from vitrail.tasks.detection.predictions import NO_BOX, Detection, are_exact
from vitrail.tasks.training_task import Pixels, TrainingTask

DISTANCE, OVERLAP = 5.0, 2.0  # weights of the two losses of a box, as in DETR


class DetectionTraining(TrainingTask):
    """Targets [B, most, 5] are class, left, top, right and bottom, or NO_BOX."""

    task = Detection()
    no_mixing = "and a blend shows no box"
    no_smoothing = "and most queries here have none"
    no_balance = "and an image here has several labels"

    def check(self, net: Any) -> None:
        if not isinstance(net.get_classifier(), BoxHead):
            raise UsageError(
                f"{type(net).__name__} predicts no boxes: choose vitrail.models.ViT with the head "
                f"{' or '.join(self.task.heads)}"
            )

    def prepare(self, net: Any, targets: np.ndarray, weights: NDArray[np.float64] | None = None) -> None:
        most, queries = int((targets[..., 0] != NO_BOX).sum(axis=1).max()), len(net.get_classifier().queries)
        if most > queries:
            raise UsageError(f"an image has {most} boxes, and the head {queries} queries: give it more")

    def losses(self, net: Any, pixels: Pixels, target: Tensor) -> Tensor:
        head = net.get_classifier()
        vectors = net.forward_head(net.forward_features(pixels), pre_logits=True)
        each = [
            box_losses(logits.float().log_softmax(dim=-1), boxes.float(), target, head.nothing)
            for logits, boxes in head.by_layer(vectors)
        ]
        return torch.stack(each).sum(dim=0)

    def validation(self, net: Any, outputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The loss is that of the last layer."""
        outputs = outputs.float()
        boxes, shares = outputs[..., :4], outputs[..., 4:].clamp(min=1e-9)
        loss = box_losses(shares.log(), boxes, target, net.get_classifier().nothing).mean()
        predicted = outputs.cpu().numpy()
        exact = are_exact(self.task.decisions(predicted), predicted[..., :4], target.cpu().numpy())
        return {"val_loss": loss, "val_accuracy": torch.tensor(exact, device=loss.device).float().mean()}

    @staticmethod
    def predictions(outputs: Tensor) -> Tensor:
        return outputs

    def columns(self, names: Sequence[str]) -> Iterable[str]:
        return ("boxes", "predicted")

    def row(self, prediction: Tensor, target: Any, names: Sequence[str]) -> Iterable[object]:
        wanted = [corners(names[int(label)], box) for label, *box in target.tolist() if label != NO_BOX]
        found = self.task.payload({"detections": prediction.numpy()}, names, 1)["boxes"]
        return ";".join(wanted), ";".join(corners(one["label"], one["box"]) for one in found)


def corners(label: str, box: Sequence[float]) -> str:
    return " ".join([label, *(f"{side:.3f}" for side in box)])


def box_losses(log_shares: Tensor, boxes: Tensor, target: Tensor, nothing: float) -> Tensor:
    """DETR's, of each image [B]: cross-entropy of all queries, and two distances of those that have a box.

    Means of each image, where DETR has those of the batch: an image's loss does not depend on the others.
    """
    count = log_shares.shape[-1]
    rows, queries, matched = matches(log_shares, boxes, target)
    classes = torch.full(log_shares.shape[:2], count - 1, device=boxes.device)
    classes[rows, queries] = target[rows, matched, 0].long()
    weight = torch.ones(count, device=boxes.device)
    weight[-1] = nothing
    entropies = F.nll_loss(log_shares.transpose(1, 2), classes, weight, reduction="none").sum(dim=1)
    counts = torch.bincount(rows, minlength=len(target)).clamp(min=1)
    found, wanted = boxes[rows, queries], target[rows, matched, 1:]
    apart = DISTANCE * (found - wanted).abs().sum(dim=-1) + OVERLAP * generalized_box_iou_loss(found, wanted)
    of_images = torch.zeros_like(entropies).index_add(0, rows, apart)
    return entropies / weight[classes].sum(dim=1) + of_images / counts


@torch.no_grad()
def matches(log_shares: Tensor, boxes: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images, queries and rows of the target that belong together, [boxes] each; the cheapest for each image."""
    found: list[tuple[int, int, int]] = []
    for image, (shares, corners_, rows) in enumerate(zip(log_shares.exp(), boxes, target, strict=True)):
        wanted = rows[rows[:, 0] != NO_BOX]  # these come first
        apart = DISTANCE * torch.cdist(corners_, wanted[:, 1:], p=1)
        cost = apart - shares[:, wanted[:, 0].long()] - OVERLAP * generalized_box_iou(corners_, wanted[:, 1:])
        queries, order = linear_sum_assignment(cost.double().cpu().numpy())
        found += [(image, query, row) for query, row in zip(queries.tolist(), order.tolist(), strict=True)]
    rows, queries, matched = torch.tensor(found, dtype=torch.long, device=boxes.device).reshape(-1, 3).unbind(dim=1)
    return rows, queries, matched
