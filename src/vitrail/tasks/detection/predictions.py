"""Boxes of an image, each with a label: average precision, and what of a prediction is a box."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import Estimate, wilson
from vitrail.tasks.task import Array, Evaluation, Payload, Task, evenly_spaced, margin

NO_BOX = -1  # in a target: the class of a row without a box
OVERLAP = 0.5  # the least intersection over union with which a box is found
GOLDEN_QUERIES = 16  # in the card, of more queries
RECALLS = np.linspace(0, 1, 101)  # at which COCO averages precision
RESAMPLES = 200  # of images, for intervals


class Detection(Task):
    """Detections [N, Q, 4 + K + 1]: left, top, right and bottom as shares of the image, then probabilities.

    These are of each class, and last of there being no box. Targets [N, most, 5] are class, left, top, right and
    bottom, or NO_BOX.
    """

    name = "detection"
    description = "boxes with labels"
    outputs = ("detections", "embedding")
    raw = "detections"
    heads = ("boxes",)
    keeps_places = True

    def decisions(self, raw: Array) -> NDArray[np.int64]:
        """The class of each query, [N, Q], or NO_BOX."""
        best: NDArray[np.int64] = raw[..., 4:].argmax(axis=-1)
        return np.where(best == raw.shape[-1] - 5, NO_BOX, best)

    def margins(self, raw: Array) -> NDArray[np.float64]:
        return margin(raw[..., 4:])

    def golden(self, raw: Array) -> Array:
        """All queries if they are few, evenly spaced ones of more."""
        return evenly_spaced(raw, GOLDEN_QUERIES).reshape(len(raw), -1)

    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        """An image is correct if it has exactly the boxes of the target, each found with its label."""
        scores, hits, totals = scored(predictions, targets, len(names))
        exact = are_exact(self.decisions(predictions), predictions[..., :4], targets)
        each = [average_precision(scores[..., c], hits[..., c], totals[:, c]) for c in range(len(names))]
        return Evaluation(
            wilson(int(exact.sum()), len(targets)),
            (mean_average_precision(scores, hits, totals),),
            ("AP50", "boxes"),
            tuple(
                (name, (one, float(totals[:, c].sum()))) for c, (name, one) in enumerate(zip(names, each, strict=True))
            ),
        )

    def payload(self, row: Mapping[str, Array], names: Sequence[str], top_k: int) -> Payload:
        """The boxes, the surest first."""
        detections = row["detections"]
        (classes,) = self.decisions(detections[None])
        boxes = [
            boxed(names, int(index), one) for index, one in zip(classes, detections, strict=True) if index != NO_BOX
        ]
        return {"boxes": sorted(boxes, key=lambda box: -box["probability"])}

    def text(self, payload: Payload) -> str:
        return ", ".join(described(box) for box in payload["boxes"]) or "no box"


def boxed(names: Sequence[str], index: int, detection: Array) -> dict[str, Any]:
    corners = np.clip(detection[:4].astype(float), 0, 1).tolist()
    return {"label": names[index], "index": index, "probability": float(detection[4 + index]), "box": corners}


def described(box: Mapping[str, Any]) -> str:
    left, top, right, bottom = (f"{100 * side:.0f}" for side in box["box"])
    return f"{box['label']} {box['probability']:.3f} from {left}, {top} to {right}, {bottom} %"


def overlaps(boxes: Array, others: Array) -> NDArray[np.float64]:
    """Intersection over union of each of the boxes [..., A, 4] with each of the others [..., B, 4]: [..., A, B]."""
    one, two = boxes[..., :, None, :].astype(float), others[..., None, :, :].astype(float)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = sides.clip(min=0).prod(axis=-1)
    areas = [(each[..., 2:] - each[..., :2]).clip(min=0).prod(axis=-1) for each in (one, two)]
    union: NDArray[np.float64] = areas[0] + areas[1] - shared
    quotient: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return quotient


def scored(
    predictions: Array, targets: Array, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """The score of each query for each class [N, Q, K], whether it finds a box of it, and the boxes of each [N, K].

    As COCO counts: a query finds the box with which it overlaps most, of those that no surer query has found.
    """
    scores = predictions[..., 4 : 4 + classes].astype(float)
    hits = np.zeros(scores.shape, np.bool_)
    shared = overlaps(predictions[..., :4], targets[..., 1:])
    totals = np.stack([(targets[..., 0] == label).sum(axis=1) for label in range(classes)], axis=1)
    for image, label in np.argwhere(totals):
        wanted = np.flatnonzero(targets[image, :, 0] == label)
        for query in np.argsort(-scores[image, :, label], kind="stable"):
            if len(wanted) == 0:
                break
            best = shared[image, query, wanted].argmax()
            if shared[image, query, wanted[best]] >= OVERLAP:
                hits[image, query, label] = True
                wanted = np.delete(wanted, best)
    return scores, hits, totals


def average_precision(scores: Array, hits: Array, totals: Array, times: Array | None = None) -> float:
    """Of one class, from the scores and hits of its queries [N, Q] and the boxes of images [N]; NaN without any.

    `times` [N] is how often each image counts.
    """
    weights = np.ones(len(totals)) if times is None else times
    boxes = float((weights * totals).sum())
    if boxes == 0:
        return float("nan")
    order = np.argsort(-scores.ravel(), kind="stable")
    counted = np.repeat(weights, scores.shape[1])[order]
    found = np.cumsum(counted * hits.ravel()[order])
    precision = found / np.maximum(np.cumsum(counted), 1e-9)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(found / boxes, RECALLS - 1e-9)
    return float(np.append(envelope, 0.0)[places].mean())


def mean_average_precision(scores: Array, hits: Array, totals: Array) -> Estimate:
    """Over all classes, with the 95 % interval over images."""
    random = np.random.default_rng(0)
    shares = np.full(len(totals), 1 / len(totals))
    draws = [mean_over(scores, hits, totals, random.multinomial(len(totals), shares)) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Estimate("AP50", mean_over(scores, hits, totals), float(low), float(high))


def mean_over(scores: Array, hits: Array, totals: Array, times: Array | None = None) -> float:
    of_classes = [
        average_precision(scores[..., label], hits[..., label], totals[:, label], times)
        for label in range(totals.shape[1])
    ]
    known = [one for one in of_classes if not np.isnan(one)]
    return float(np.mean(known)) if known else 0.0


def are_exact(decisions: NDArray[np.int64], boxes: Array, targets: Array) -> NDArray[np.bool_]:
    """Whether each image's boxes are those of its target, one for one: [N]."""
    return np.fromiter(exactness(decisions, boxes, targets), np.bool_, len(targets))


def exactness(decisions: NDArray[np.int64], boxes: Array, targets: Array) -> Iterator[bool]:
    for classes, corners, target in zip(decisions, boxes, targets, strict=True):
        chosen, wanted = np.flatnonzero(classes != NO_BOX), target[target[:, 0] != NO_BOX]
        same = classes[chosen][:, None] == wanted[:, 0]
        found = same & (overlaps(corners[chosen], wanted[:, 1:]) >= OVERLAP)
        yield len(chosen) == len(wanted) and is_matching(found)


def is_matching(found: NDArray[np.bool_]) -> bool:
    """Whether every row can have a column of its own where `found` is true."""
    partners: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column in np.flatnonzero(found[row]).tolist():
            if column not in tried:
                tried.add(column)
                if column not in partners or place(partners[column], tried):
                    partners[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(found)))
