"""Labels of an image in their order; the model decides how many."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.intervals import Bootstrap, wilson
from vitrail.tasks.task import (
    Array,
    Evaluation,
    Payload,
    ProbabilityTask,
    evenly_spaced,
    log_softmax,
    margin,
    softmax,
)

ENDED = -1  # in a target: a place after the last label
GOLDEN_PLACES = 16  # in the card, of longer sequences


class LabelSequence(ProbabilityTask):
    """Logits [N, L, K + 1] of the label at each place; the last class is the end, where a sequence is over.

    What comes after the first end does not count. Targets [N, longest] are classes, and ENDED after the last.
    """

    name = "sequence"
    description = "a sequence of labels an image"
    heads = ("autoregressive", "parallel")
    is_ordered = True

    def decisions(self, raw: Array) -> NDArray[np.int64]:
        """The labels, [N, L], with ENDED after the last."""
        best: NDArray[np.int64] = raw.argmax(axis=-1)
        ended = np.logical_or.accumulate(best == raw.shape[-1] - 1, axis=1)
        return np.where(ended, ENDED, best)

    def margins(self, raw: Array) -> NDArray[np.float64]:
        """The least so far: with a label before it, a decision may change too."""
        margins: NDArray[np.float64] = np.minimum.accumulate(margin(raw), axis=1)
        return margins

    def differences(self, expected: Array, actual: Array) -> NDArray[np.float64]:
        """Up to the first place that is decided otherwise: what follows is of another sequence."""
        same = follows_target(self.decisions(actual), self.decisions(expected))
        return np.where(same[..., None], super().differences(expected, actual), 0.0)

    def golden(self, raw: Array) -> Array:
        """All places of a short sequence, evenly spaced ones of a longer."""
        return evenly_spaced(raw, GOLDEN_PLACES).reshape(len(raw), -1)

    def probabilities(self, logits: Array) -> NDArray[np.float64]:
        return softmax(logits)

    def log_likelihood(self, logits: Array, targets: Array) -> float:
        classes, counted = self.counted_places(logits, targets)
        return float(np.take_along_axis(log_softmax(logits)[counted], classes[counted][:, None], axis=1).sum())

    def confidences(self, probabilities: Array, targets: Array) -> tuple[Array, Array]:
        classes, counted = self.counted_places(probabilities, targets)
        places = probabilities[counted]
        return places.max(axis=1), places.argmax(axis=1) == classes[counted]

    def counted_places(self, outputs: Array, targets: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The class of each place [N, L], the end included, and which count.

        Those up to the first mistake: an autoregressive network predicts each label after its own earlier ones. After
        the end none count, or it would be the most frequent class.
        """
        target = widened(targets, outputs.shape[1])[:, : outputs.shape[1]]
        counted = follows_target(self.decisions(outputs), target)
        counted[:, 1:] &= target[:, :-1] != ENDED
        return np.where(target == ENDED, outputs.shape[2] - 1, target), counted

    def evaluate(self, predictions: Array, targets: Array, names: Sequence[str]) -> Evaluation:
        """An image is correct if its whole sequence is."""
        predicted = sequences_of(self.decisions(predictions))
        expected = sequences_of(targets)
        exact = np.array([one == other for one, other in zip(predicted, expected, strict=True)])
        edits = [edit_distance(one, other) for one, other in zip(predicted, expected, strict=True)]
        lengths = np.array([len(sequence) for sequence in expected])
        bootstrap = Bootstrap(np.stack([edits, lengths], axis=1).astype(float))
        return Evaluation(
            wilson(int(exact.sum()), len(targets)),
            (bootstrap.estimate("label error rate", lambda sums: sums[..., 0] / np.maximum(sums[..., 1], 1)),),
            ("accuracy", "images"),
            tuple(
                (f"{length} labels", (float(exact[lengths == length].mean()), float((lengths == length).sum())))
                for length in np.unique(lengths)
            ),
        )

    def payload(self, row: Mapping[str, Array], names: Sequence[str], top_k: int) -> Payload:
        """The labels with their probabilities, and that of the whole sequence, its end included."""
        probabilities = row["probabilities"]  # [L, K + 1]
        (labels,) = sequences_of(self.decisions(probabilities[None]))
        best = probabilities.max(axis=1).astype(float)
        return {
            "sequence": [labelled(names, label, float(best[place])) for place, label in enumerate(labels)],
            "probability": float(best[: len(labels) + 1].prod()),
        }

    def text(self, payload: Payload) -> str:
        return " ".join(one["label"] for one in payload["sequence"])


def labelled(names: Sequence[str], index: int, probability: float) -> dict[str, Any]:
    return {"label": names[index], "index": index, "probability": probability}


def sequences_of(classes: Array) -> list[list[int]]:
    """Rows [N, L] without what is after their ends."""
    return [[label for label in row if label != ENDED] for row in classes.tolist()]


def widened(targets: Array, places: int) -> Array:
    """Targets [N, longest] with at least so many places."""
    more = max(0, places - targets.shape[1])
    return np.pad(targets, ((0, 0), (0, more)), constant_values=ENDED)


def follows_target(decisions: NDArray[np.int64], target: Array) -> NDArray[np.bool_]:
    """Whether all places before each one are as in the target, [N, L]."""
    same = np.ones_like(decisions, dtype=bool)
    same[:, 1:] = np.logical_and.accumulate(decisions == target, axis=1)[:, :-1]
    return same


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Levenshtein's: the least number of labels to insert, remove or replace."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one):
        diagonal, row[0] = row[0], i + 1
        for j, b in enumerate(other):
            diagonal, row[j + 1] = row[j + 1], min(row[j] + 1, row[j + 1] + 1, diagonal + (a != b))
    return row[-1]
