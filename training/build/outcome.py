"""What a build found out: the model on the test images, measured once, and labels that are likely wrong."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_confusion_matrix

from vitrail.atomic import write_atomically
from vitrail.data.check.check import Checked
from vitrail.data.check.listing import Item
from vitrail.data.source import Part
from vitrail.model_file.card import Card
from vitrail.model_file.classifier import Classifier
from vitrail.tasks.classification.report import ClassificationReport, classification_report
from vitrail.tasks.intervals import Share
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.training.build.label_issues import folds_of, label_issues
from vitrail.training.build.plan import BuildPlan
from vitrail.training.build.state import State
from vitrail.training.data_module import ImageDataModule
from vitrail.training.features import Features
from vitrail.training.probe import cross_validated

BATCH = 32  # images of the test that the model file takes at once


@dataclass(frozen=True)
class Mislabeled:
    """An image whose label is likely wrong."""

    item: Item
    label: str
    likely: str
    probability: float  # of the likely class


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that the report and the model card tell."""

    plan: BuildPlan
    state: State
    checked: Checked
    card: Card
    weights: str  # that training started from; empty from scratch
    tested: ClassificationReport
    confusion: NDArray[np.int64]  # [target, predicted]
    mislabeled: tuple[Mislabeled, ...]
    in_timm: bool  # whether timm loads the folder


def percent(share: Share) -> str:
    return f"{percent_of(share.value)} (95 % interval {100 * share.low:.1f} to {100 * share.high:.1f})"


def percent_of(value: float) -> str:
    return f"{100 * value:.1f} %"


def evaluate(classifier: Classifier, data: ImageDataModule) -> tuple[ClassificationReport, NDArray[np.int64]]:
    """The file's own predictions on the test images: top-1 and each class, and the confusion matrix."""
    probabilities, targets = [], []
    for images, target, _ in data.in_order("test"):
        canvases = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
        parts = [canvases[begin : begin + BATCH] for begin in range(0, len(canvases), BATCH)]
        probabilities += [torch.from_numpy(classifier.predict(part).probabilities) for part in parts]
        targets.append(target)
    predicted, labels = torch.cat(probabilities), torch.cat(targets)
    confusion = multiclass_confusion_matrix(predicted.argmax(1), labels, data.class_count).numpy()
    return classification_report(predicted, labels, data.classes), confusion


def find_mislabeled(folder: Path, state: State, data: ImageDataModule, checked: Checked) -> tuple[Mislabeled, ...]:
    """Training and validation images that the best probe, fitted without them, takes for another class."""
    probes = [one for one in state.trained if one.stage == "linear probe"]
    if not probes:
        return ()
    best = max(probes, key=lambda one: one.hits)
    features, penalty = read_features(folder / best.candidate / "features.npz")
    head = torch.nn.Linear(features.inputs.shape[1], data.class_count)
    labels = features.targets.numpy()
    task = TRAINING_TASKS[data.task](data.class_count, 0.0)
    folds = folds_of(labels, state.decisive["seed"])
    probabilities = cross_validated(head, task, features, penalty, folds).numpy()
    items = items_of(checked, data)
    found = label_issues(probabilities, labels)
    return tuple(
        Mislabeled(items[one.index], data.classes[one.label], data.classes[one.likely], one.probability)
        for one in found
    )


def items_of(checked: Checked, data: ImageDataModule) -> list[Item]:
    """The images of the features, training images first, as the check lists them."""
    items: list[Item] = []
    parts: tuple[Part, ...] = ("train", "val")
    for part in parts:
        there = [item for item in checked.listing.items if item.part == part]
        chosen = data.chosen.get(part)
        items += there if chosen is None else [there[index] for index in chosen.tolist()]
    return items


def read_features(file: Path) -> tuple[Features, float]:
    """Those of training and validation images together, and the penalty of the probe."""
    with np.load(file) as arrays:
        pairs = [[arrays[f"{part}{end}"] for part in ("train", "val")] for end in ("", "_targets")]
        inputs, targets = (torch.from_numpy(np.concatenate(pair)) for pair in pairs)
        return Features(inputs, targets), float(arrays["penalty"])


def save_features(file: Path, train: Features, val: Features, penalty: float) -> None:
    """What likely wrong labels are found with, at the end."""
    arrays = io.BytesIO()
    np.savez(
        arrays,
        train=train.inputs.numpy(),
        val=val.inputs.numpy(),
        train_targets=train.targets.numpy(),
        val_targets=val.targets.numpy(),
        penalty=np.array(penalty),
    )
    write_atomically(file, arrays.getvalue())
