"""A label for each place of an image's grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.tasks.bootstrap import Bootstrap
from vitrail.tasks.intervals import Share
from vitrail.tasks.task import Measured, Numbers, Payload, ProbabilityTask, log_softmax, margin, softmax

IGNORED = 255  # in a map: what this pixel shows is not said
GOLDEN_PLACES = 16  # of a large grid, so many stand in the card


class Dense(ProbabilityTask):
    """Logits [N, h, w, K]; targets [N, size, size] are maps with the class of each pixel of the canvas."""

    name = "dense"

    def choices(self, raw: Numbers) -> NDArray[np.int64]:
        best: NDArray[np.int64] = raw.argmax(axis=-1).reshape(len(raw), -1)
        return best

    def clearness(self, raw: Numbers) -> NDArray[np.float64]:
        return margin(raw).reshape(len(raw), -1)

    def golden(self, raw: Numbers) -> Numbers:
        """All places of a small grid, evenly chosen ones of a larger."""
        places = raw.reshape(len(raw), -1, raw.shape[-1])
        chosen = np.unique(np.linspace(0, places.shape[1] - 1, GOLDEN_PLACES).round().astype(int))
        return places[:, chosen].reshape(len(raw), -1)

    def probabilities(self, logits: Numbers) -> NDArray[np.float64]:
        return softmax(logits)

    def log_likelihood(self, logits: Numbers, targets: Numbers) -> float:
        classes, known = known_places(logits, targets)
        return float(np.take_along_axis(log_softmax(logits)[known], classes[:, None], axis=1).sum())

    def decisions(self, probabilities: Numbers, targets: Numbers) -> tuple[Numbers, Numbers]:
        classes, known = known_places(probabilities, targets)
        places = probabilities[known]
        return places.max(axis=1), places.argmax(axis=1) == classes

    def measure(self, answers: Numbers, targets: Numbers, names: Sequence[str]) -> Measured:
        classes, said = classes_at(targets, answers), answers.argmax(axis=-1)
        numbers = np.arange(len(names))
        meant = classes[..., None] == numbers  # [N, h, w, K]
        told = (said[..., None] == numbers) & (classes != IGNORED)[..., None]
        both, either, there = (one.sum(axis=(1, 2)).astype(float) for one in (meant & told, meant | told, meant))
        drawn = Bootstrap(np.concatenate([both, either], axis=1))  # [N, 2 K]
        columns = (overlap(drawn.seen), both.sum(axis=0) / np.maximum(there.sum(axis=0), 1), there.sum(axis=0))
        rows = tuple((name, tuple(float(one[i]) for one in columns)) for i, name in enumerate(names))
        others = (drawn.estimate("mean IoU", mean_overlap),)
        return Measured(right_places(classes, said), others, ("IoU", "recall", "places"), rows, "places")

    def payload(self, row: Mapping[str, Numbers], names: Sequence[str], top_k: int) -> Payload:
        """The best label of each place and its probability, row by row."""
        best = row["probabilities"].argmax(axis=-1)  # [h, w]
        labels = [[names[i] for i in across] for across in best.tolist()]
        return {"grid": {"labels": labels, "probabilities": row["probabilities"].max(axis=-1).tolist()}}

    def text(self, payload: Payload) -> str:
        """The share of the image that each label takes."""
        found = [label for across in payload["grid"]["labels"] for label in across]
        order = sorted(set(found), key=lambda label: (-found.count(label), label))
        return ", ".join(f"{label} {100 * found.count(label) / len(found):.0f} %" for label in order)


def patch_classes(maps: Any, grid: tuple[int, int], classes: int) -> Any:
    """Maps [N, size, size] → [N, h, w]: the class of more than half of a patch's pixels, UNTOLD where there is none.

    Arrays and tensors alike: nothing is used here that they do not share.
    """
    (count, size, _), (rows, columns) = maps.shape, grid
    patches = maps.reshape(count, rows, size // rows, columns, size // columns).swapaxes(2, 3)
    pixels = patches.reshape(count, rows, columns, -1)
    most = (2 * (pixels == number).sum(-1) > pixels.shape[-1] for number in range(classes))
    return sum((number - IGNORED) * won for number, won in enumerate(most)) + IGNORED


def classes_at(maps: Numbers, answers: Numbers) -> NDArray[np.int64]:
    """The classes [N, h, w] that answers [N, h, w, K] should have found."""
    classes: NDArray[np.int64] = patch_classes(maps, answers.shape[1:3], answers.shape[3])
    return classes


def known_places(answers: Numbers, maps: Numbers) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The classes [M] of the M places that have one, and which [N, h, w] these are."""
    classes = classes_at(maps, answers)
    return classes[classes != IGNORED], classes != IGNORED


def right_places(classes: NDArray[np.int64], said: NDArray[np.int64]) -> Share:
    """Of those that are known; the interval draws images, as the places of one are no strangers to each other."""
    known, right = (one.sum(axis=(1, 2)) for one in (classes != IGNORED, said == classes))
    found = Bootstrap(np.stack([right, known], axis=1).astype(float)).estimate("right", share)
    return Share(int(right.sum()), int(known.sum()), found.value, found.low, found.high)


def share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


def overlap(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of each class, of [..., 2 K]; 0 where a class was neither meant nor said."""
    both, either = np.split(sums, 2, axis=-1)
    return both / np.maximum(either, 1)


def mean_overlap(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the classes that were meant or said anywhere."""
    seen = (np.split(sums, 2, axis=-1)[1] > 0).sum(axis=-1)
    mean: NDArray[np.float64] = overlap(sums).sum(axis=-1) / np.maximum(seen, 1)
    return mean
