"""Saved predictions: the table of each image's name, target and prediction."""

import os
from pathlib import Path

import numpy as np
import torch

from vitrail.data.source import Targets
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.training.predictions import write_table


def test_names_of_any_bytes_are_written_as_the_file_system_has_them(tmp_path: Path) -> None:
    names = ("叶/1.png", os.fsdecode(b"caf\xe9.png"))
    images = Targets(np.array([0, 1]), names)
    task = TRAINING_TASKS["classification"](2, 0.0, 0.0)
    file = write_table(tmp_path, torch.tensor([[0.75, 0.25], [1.0, 0.0]]), images, ("cat", "dog"), task)
    assert file.read_bytes().splitlines()[1:] == [
        "叶/1.png,cat,cat,0.750000".encode(),
        b"caf\xe9.png,dog,cat,1.000000",
    ]
