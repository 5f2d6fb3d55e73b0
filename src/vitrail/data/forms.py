"""What is kept of a decoded image: the canvas that is evaluated, or the image at its own shape for random crops."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL import __version__ as pillow

from vitrail.images.canvas import InputRule, resized, to_canvas
from vitrail.images.decode import decode, fit

VERSION = 1  # of the pixels; another decoder may make others


class Form(Protocol):
    """A way to make uint8 [height, width, 3] of an image."""

    @property
    def name(self) -> str:
        """Of all that decides the pixels, as the name of a folder."""
        ...

    @property
    def least(self) -> int | None:
        """The pixels that the shorter side needs, if fewer than all."""
        ...

    def of_file(self, data: bytes) -> NDArray[np.uint8]: ...

    def of_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Canvas:
    """The canvas of the input rule, as `images.fit` makes it."""

    rule: InputRule
    least: None = None

    @property
    def name(self) -> str:
        patch = "" if self.rule.patch is None else f"-{self.rule.patch}"
        return versioned(f"canvas-{self.rule.size}-{self.rule.resize}{patch}")

    def of_file(self, data: bytes) -> NDArray[np.uint8]:
        return fit(data, self.rule)

    def of_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return to_canvas(Image.fromarray(image), self.rule)


@dataclass(frozen=True)
class OwnShape:
    """The image at its own shape; where its shorter side is over 8/7 of the canvas, it is resized to that."""

    size: int  # of the canvas that crops become

    @property
    def name(self) -> str:
        return versioned(f"side-{self.size}")

    @property
    def least(self) -> int:
        return self.size

    @property
    def most(self) -> int:
        return -(-8 * self.size // 7)

    def of_file(self, data: bytes) -> NDArray[np.uint8]:
        return self.bounded(decode(data, self.least))

    def of_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.bounded(Image.fromarray(image))

    def bounded(self, image: Image.Image) -> NDArray[np.uint8]:
        shorter = min(image.size)
        if shorter <= self.most:
            return np.array(image)
        width, height = (max(1, round(side * self.most / shorter)) for side in image.size)
        return np.array(resized(image, (0, 0, *image.size), (width, height)))


def versioned(name: str) -> str:
    return f"{name}-{VERSION}-pillow{pillow}"
