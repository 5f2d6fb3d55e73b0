"""Small folders of images with a table in them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes images 0.png, 1.png, … of 6 × 4 pixels, and a table of these lines."""

    def written(table: str, lines: Sequence[str], images: int = 12) -> Path:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        for number in range(images):
            Image.fromarray(np.full((4, 6, 3), 20 * number % 256, np.uint8)).save(folder / f"{number}.png")
        (folder / table).write_text("\n".join(lines) + "\n", "utf-8")
        return folder

    return written
