"""The answer to every test picture, kept beside a run: for comparing runs, and for reading."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vitrail.atomic import write_atomically
from vitrail.data import Pictures
from vitrail.tasks.training import Goal


def keep(run: Path, answers: Tensor, pictures: Pictures, output: str = "probabilities") -> None:
    write_atomically(run / "predictions.npz", packed(answers, pictures, output))


def packed(answers: Tensor, pictures: Pictures, output: str = "probabilities") -> bytes:
    """predictions.npz: probabilities or values, labels, and names [N], so that runs compare picture by picture."""
    file = io.BytesIO()
    kept: dict[str, Any] = {output: answers.numpy(), "labels": pictures.labels}
    np.savez_compressed(file, **kept, names=np.array(pictures.names))
    return file.getvalue()


def write_table(run: Path, answers: Tensor, pictures: Pictures, names: tuple[str, ...], goal: Goal) -> Path:
    """predictions.csv: each picture's name, what it shows and what was said of it."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["picture", *goal.columns(names)])
    for name, target, answer in zip(pictures.names, pictures.labels, answers, strict=True):
        table.writerow([name, *goal.cells(answer, target, names)])
    path = run / "predictions.csv"
    write_atomically(path, file.getvalue().encode())
    return path
