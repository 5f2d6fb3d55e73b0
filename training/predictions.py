"""The answer to every test image, kept beside a run: for comparing runs, and for reading."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vitrail.atomic import write_atomically
from vitrail.data import Samples
from vitrail.tasks.training import TrainingTask


def keep(run: Path, answers: Tensor, images: Samples, output: str = "probabilities") -> None:
    write_atomically(run / "predictions.npz", packed(answers, images, output))


def packed(answers: Tensor, images: Samples, output: str = "probabilities") -> bytes:
    """predictions.npz: probabilities or values, labels, and names [N], so that runs compare image by image."""
    file = io.BytesIO()
    kept: dict[str, Any] = {output: answers.numpy(), "labels": images.labels}
    np.savez_compressed(file, **kept, names=np.array(images.names))
    return file.getvalue()


def write_table(run: Path, answers: Tensor, images: Samples, names: tuple[str, ...], goal: TrainingTask) -> Path:
    """predictions.csv: each image's name, what it shows and what was said of it."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["image", *goal.columns(names)])
    for name, target, answer in zip(images.names, images.labels, answers, strict=True):
        table.writerow([name, *goal.cells(answer, target, names)])
    path = run / "predictions.csv"
    write_atomically(path, file.getvalue().encode())
    return path
