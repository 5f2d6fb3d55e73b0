"""The predictions for all test images, saved in the run directory: predictions.npz and predictions.csv."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vitrail.atomic import write_atomically
from vitrail.data.source import Targets
from vitrail.tasks import TASKS
from vitrail.tasks.training import TrainingTask
from vitrail.training.data_module import ImageDataModule


def save(run: Path, predictions: Tensor, data: ImageDataModule) -> None:
    """With the task, the classes and keys of the images' contents, by which `vitrail compare` pairs runs."""
    about = {
        "task": np.array(data.task),
        "classes": np.array(data.classes),
        "contents": data.contents()["test"].images,
    }
    content = packed(predictions, data.targets("test"), TASKS[data.task].outputs[0], about)
    write_atomically(run / "predictions.npz", content)


def packed(
    predictions: Tensor, images: Targets, output: str = "probabilities", about: Mapping[str, Any] | None = None
) -> bytes:
    """predictions.npz: probabilities or values, labels, and names [N], so that runs compare image by image."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {output: predictions.numpy(), "labels": images.labels, **(about or {})}
    np.savez_compressed(file, **arrays, names=np.array(list(images.names)))
    return file.getvalue()


def write_table(run: Path, predictions: Tensor, images: Targets, names: tuple[str, ...], task: TrainingTask) -> Path:
    """predictions.csv: the name, target and prediction of each image."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["image", *task.columns(names)])
    for name, target, prediction in zip(images.names, images.labels, predictions, strict=True):
        table.writerow([name, *task.row(prediction, target, names)])
    path = run / "predictions.csv"
    write_atomically(path, file.getvalue().encode("utf-8", "surrogateescape"))  # names of files may have any bytes
    return path
