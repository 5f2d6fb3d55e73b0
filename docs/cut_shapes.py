"""Cut each photo of a folder of classes to a random shape: python docs/cut_shapes.py PHOTOS OUTPUT [SEED]."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def main(photos: Path, output: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    for path in sorted(path for path in photos.glob("*/*") if path.is_file()):
        target = output / path.relative_to(photos).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as photo:
            cut(photo.convert("RGB"), random).save(target, quality=95)


def cut(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    """The largest part of a ratio of width to height between 1:3 and 3:1, at a random place."""
    ratio = 3 ** random.uniform(-1, 1)
    width, height = photo.size
    across, down = min(width, round(height * ratio)), min(height, round(width / ratio))
    left, top = (int(random.integers(0, room + 1)) for room in (width - across, height - down))
    return photo.crop((left, top, left + across, top + down))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
