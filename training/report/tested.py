"""Sections on the test images: mistakes, confusions, classes, calibration; for other tasks what their report says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.data.check.text import printable
from vitrail.data.source import Targets
from vitrail.plots.blocks import facts, folded, table
from vitrail.plots.confusion import matrix_table, pairs_table
from vitrail.plots.inline import inline
from vitrail.plots.markup import element, text
from vitrail.plots.reliability import reliability_diagram
from vitrail.tasks.classification.report import ClassificationReport
from vitrail.tasks.reliability import expected_error, reliability
from vitrail.tasks.task import Array, Evaluation, ProbabilityTask, Task
from vitrail.tasks.training_task import Report
from vitrail.training.report.mistakes import Shown

MATRIX = 40  # classes whose confusion matrix is drawn
PAIRS = 12  # most confused pairs that are listed
CLASSES = 100  # rows of a table that is not folded
SIDE = 112  # of images, in pixels


@dataclass(frozen=True, eq=False)
class Tested:
    """What `vitrail test` found."""

    task: Task
    classes: tuple[str, ...]
    predictions: Array
    images: Targets
    report: Report
    place: str  # of the images
    mistakes: tuple[Shown, ...] = ()


def sections(tested: Tested) -> Iterator[tuple[str, list[str]]]:
    """Titles and content; what a task does not have is left out."""
    report = tested.report
    yield "Test images", [facts(results(report))]
    if isinstance(report, ClassificationReport):
        if tested.mistakes:
            yield "Most confident mistakes", mistakes(tested)
        yield "Confusions", confusions(tested)
        yield (
            "Classes",
            [long_table(["class", "precision", "recall", "F1", "images"], class_rows(report), "The worst first")],
        )
    elif isinstance(report, Evaluation) and report.rows:
        rows = [[text(printable(name)), *(f"{number:.4g}" for number in row)] for name, row in report.rows]
        yield "In detail", [long_table(["", *report.columns], rows)]
    if isinstance(tested.task, ProbabilityTask):
        yield "Calibration", calibration(tested.task, tested)


def results(report: Report) -> Iterator[tuple[str, str]]:
    """The metrics that `vitrail test` prints, with their 95 % intervals."""
    if isinstance(report, ClassificationReport):
        yield "Top-1", f"{report.top1}, {report.top1.hits:,} of {report.top1.total:,} images"
        yield f"Top-{report.top_k}", str(report.top5)
        yield "Macro-F1", f"{report.macro_f1:.4f} [{report.macro_f1_low:.4f}, {report.macro_f1_high:.4f}]"
        yield "Balanced accuracy", f"{report.balanced:.4f} [{report.balanced_low:.4f}, {report.balanced_high:.4f}]"
    elif isinstance(report, Evaluation):
        if report.accuracy:
            share = report.accuracy
            yield "Accuracy", f"{share}, {share.hits:,} of {share.total:,} {report.counted}"
        yield from ((one.name, str(one)) for one in report.others)


def class_rows(report: ClassificationReport) -> list[list[str]]:
    """The worst first."""
    return [
        [text(printable(one.label)), f"{one.precision:.4f}", f"{one.recall:.4f}", f"{one.f1:.4f}", f"{one.images:,}"]
        for one in sorted(report.classes, key=lambda one: one.f1)
    ]


def long_table(head: Sequence[str], rows: list[list[str]], caption: str = "") -> str:
    made = table([text(name) for name in head], rows, caption=caption)
    return folded(f"{len(rows):,} rows", made) if len(rows) > CLASSES else made


def mistakes(tested: Tested) -> list[str]:
    """The images, with the class that each is, the one predicted and its probability."""
    has_evidence = any(one.evidence is not None for one in tested.mistakes)
    said = (
        "Each image as the network sees it, and the evidence for the predicted class: warm is for it, cold against it."
        if has_evidence
        else "Each image as the network sees it. This network has no exact evidence, so no map is shown; "
        "vitrail export --explain measures one by hiding parts of an image."
    )
    cards = [card(one, tested.classes) for one in tested.mistakes]
    return [element("p", text(said), class_="soft"), element("ul", *cards, class_="groups")]


def card(one: Shown, classes: Sequence[str]) -> str:
    label, predicted = (printable(classes[index]) for index in (one.mistake.label, one.mistake.predicted))
    images = [inline(one.image, SIDE, f"an image of {label}")]
    if one.evidence is not None:
        images.append(inline(one.evidence, SIDE, f"evidence for {predicted}"))
    caption = [
        f"is <b>{text(label)}</b>, predicted <b>{text(predicted)}</b> {one.mistake.probability:.3f}<br>",
        text(printable(one.name)),
    ]
    wide = "pair" if len(images) > 1 else None
    figure = element("figure", element("div", *images, class_="images"), element("figcaption", *caption), class_=wide)
    return element("li", figure)


def confusions(tested: Tested) -> list[str]:
    labels, predicted = tested.images.labels, tested.predictions.argmax(axis=1)
    names = [printable(name) for name in tested.classes]
    pairs = [(names[a], names[b], count) for a, b, count in confused_pairs(labels, predicted, PAIRS)]
    shown = [pairs_table(pairs)] if pairs else [element("p", "Every test image is classified correctly.")]
    if len(names) <= MATRIX:
        shown.insert(0, matrix_table(confusion(labels, predicted, len(names)), names))
    return shown


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Images by class (rows) and predicted class, [K, K]."""
    counts: NDArray[np.int64] = np.bincount(labels * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def confused_pairs(labels: NDArray[np.int64], predicted: NDArray[np.int64], most: int) -> list[tuple[int, int, int]]:
    """Class, predicted class and number of images, the most first; of many classes no matrix is made."""
    wrong = labels != predicted
    pairs, counts = np.unique(np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i])) for i in order]


def calibration(task: ProbabilityTask, tested: Tested) -> list[str]:
    """How far a probability is from the share of decisions that are correct, before any temperature is fitted."""
    bins = reliability(*task.confidences(tested.predictions, tested.images.labels))
    rows = [
        [f"{one.low:.2f} to {one.high:.2f}", f"{one.decisions:,}", f"{one.confidence:.4f}", f"{one.accuracy:.4f}"]
        for one in bins
        if one.decisions
    ]
    return [
        facts([("Expected calibration error", f"{expected_error(bins):.4f}")]),
        reliability_diagram(bins),
        folded("Bins", table(["probability", "decisions", "mean probability", "correct"], rows)),
    ]
