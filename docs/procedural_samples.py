"""Draw docs/procedural.png: images of each procedural set, `python docs/procedural_samples.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

from vitrail.data import open_source
from vitrail.images.canvas import InputRule

SETS = ("shapes", "same-different", "pathfinder-32-6", "permute-patches-8x8:shapes")
COUNT, SCALE, GAP = 10, 2, 2


def main() -> None:
    rows = [
        np.hstack([np.pad(image, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) for image in images])
        for name in SETS
        for images in [open_source(name, 0).read("test", InputRule(32), np.arange(COUNT)).images]
    ]
    sheet = Image.fromarray(np.vstack(rows)[..., 0])
    sheet = sheet.resize((SCALE * sheet.width, SCALE * sheet.height), Image.Resampling.NEAREST)
    sheet.save(Path(__file__).with_name("procedural.png"), optimize=True)


if __name__ == "__main__":
    main()
