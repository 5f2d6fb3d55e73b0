"""Shared fixtures: an image of a digit."""

from pathlib import Path

import pytest
from PIL import Image

from vitrail.data import Digits
from vitrail.images.canvas import InputRule


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(Digits().read("test", InputRule(8)).images[0]).save(path)
    return path
