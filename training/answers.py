"""The answer to every test picture, kept beside a run: for comparing runs, and for reading."""

import csv
import io
from pathlib import Path

import numpy as np
from torch import Tensor

from vitrail.data import Pictures
from vitrail.training.runs import write_atomically


def keep(run: Path, probabilities: Tensor, pictures: Pictures) -> None:
    write_atomically(run / "predictions.npz", packed(probabilities, pictures))


def packed(probabilities: Tensor, pictures: Pictures) -> bytes:
    """predictions.npz: probabilities [N, K], labels [N] and names [N], so that runs compare picture by picture."""
    file = io.BytesIO()
    names = np.array(pictures.names)
    np.savez_compressed(file, probabilities=probabilities.numpy(), labels=pictures.labels, names=names)
    return file.getvalue()


def write_table(run: Path, probabilities: Tensor, pictures: Pictures, classes: tuple[str, ...]) -> Path:
    """predictions.csv: a picture's name, its class, the class that it is given, and how probable that is."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["picture", "class", "predicted", "probability"])
    for name, label, row in zip(pictures.names, pictures.labels, probabilities, strict=True):
        best = int(row.argmax())
        table.writerow([name, classes[label], classes[best], f"{float(row[best]):.6f}"])
    path = run / "predictions.csv"
    write_atomically(path, file.getvalue().encode())
    return path
