"""Predictions as runs saved them: read from predictions.npz, and refused where two are not of the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import UsageError
from vitrail.tasks import TASKS
from vitrail.tasks.task import Array, Task

FILE = "predictions.npz"


@dataclass(frozen=True, eq=False)
class Saved:
    """The predictions of one run; `classes` and `contents` are empty in the files of studies and of older versions."""

    name: str
    task: Task
    classes: tuple[str, ...]
    predictions: Array
    labels: Array
    names: NDArray[np.str_]
    contents: NDArray[np.int64]  # of images: keys that do not depend on their names

    @property
    def outputs(self) -> int:
        return int(self.predictions.shape[-1])


def read_all(places: Sequence[str]) -> list[Saved]:
    """Of run folders or of files, with images in the order of the first; raises UsageError unless all can be paired."""
    if len(places) < 2:
        raise UsageError("a comparison needs at least two runs")
    first, *others = [read(Path(place)) for place in places]
    return [first, *(paired_with(first, other) for other in others)]


def read(place: Path) -> Saved:
    path = place / FILE if place.is_dir() else place
    if not path.is_file():
        advice = f"run `vitrail test --ckpt_path {place}/checkpoints/best.ckpt`" if place.is_dir() else "name a run"
        raise UsageError(f"there is no {FILE} at {place}: {advice}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, BadZipFile) as fault:
        raise UsageError(f"{path} is not a file of predictions, or is damaged") from fault
    return saved(str(place), arrays)


def saved(name: str, arrays: dict[str, Array]) -> Saved:
    task = task_of(name, arrays)
    if missing := {task.outputs[0], "labels", "names"} - arrays.keys():
        raise UsageError(f"{name} has no {' and no '.join(sorted(missing))}: it is not a file of predictions")
    return Saved(
        name,
        task,
        tuple(arrays.get("classes", np.zeros(0, np.str_)).tolist()),
        arrays[task.outputs[0]],
        arrays["labels"],
        arrays["names"],
        arrays.get("contents", np.zeros(0, np.int64)),
    )


def task_of(name: str, arrays: dict[str, Array]) -> Task:
    """As the file says; without it, probabilities with one class an image are those of a classifier."""
    if "task" in arrays:
        task: Task = TASKS[str(arrays["task"])]  # type: ignore[index]
        return task
    if "probabilities" in arrays and arrays["probabilities"].ndim == 2 and arrays["labels"].ndim == 1:
        return TASKS["classification"]
    raise UsageError(f"{name} does not say its task: write it anew with `vitrail test`")


def paired_with(first: Saved, other: Saved) -> Saved:
    """The other run with its images in the order of the first."""
    both = f"{first.name} and {other.name} cannot be compared"
    if first.task.name != other.task.name:
        raise UsageError(f"{both}: their tasks are {first.task.name} and {other.task.name}")
    if first.classes and other.classes and first.classes != other.classes:
        raise UsageError(f"{both}: their classes differ, {differing(first.classes, other.classes)}")
    if first.task.name != "sequence" and first.outputs != other.outputs:
        raise UsageError(f"{both}: their numbers of classes or values differ")
    order = order_in(first, other)
    if order is None:
        raise UsageError(f"{both}: their test images are not the same, {images_text(first, other)}")
    labels = other.labels[order]
    if not np.array_equal(first.labels, labels, equal_nan=labels.dtype.kind == "f"):
        raise UsageError(f"{both}: their test images are the same, but the labels of some differ")
    return Saved(
        other.name, other.task, other.classes, other.predictions[order], labels, other.names[order], other.contents
    )


def order_in(first: Saved, other: Saved) -> NDArray[np.int64] | None:
    """Where the images of the first are in the other; by content where both have it, else by name."""
    has_contents = len(first.contents) and len(other.contents)
    ours, theirs = (first.contents, other.contents) if has_contents else (first.names, other.names)
    if len(ours) != len(theirs):
        return None
    sorted_ours, sorted_theirs = np.argsort(ours, kind="stable"), np.argsort(theirs, kind="stable")
    if not np.array_equal(ours[sorted_ours], theirs[sorted_theirs]):
        return None
    order = np.empty(len(ours), np.int64)
    order[sorted_ours] = sorted_theirs
    return order


def images_text(first: Saved, other: Saved) -> str:
    shared = len(np.intersect1d(first.names, other.names))
    return f"{len(first.names):,} and {len(other.names):,}, of which {shared:,} have the same name"


def differing(first: Sequence[str], other: Sequence[str]) -> str:
    if len(first) != len(other):
        return f"{len(first)} and {len(other)}"
    one, two = next((a, b) for a, b in zip(first, other, strict=True) if a != b)
    return f"for example '{one}' and '{two}'"
