"""The canvas: the input of a model, uint8 and square or of the image's own shape, and the rule that makes one."""

from dataclasses import dataclass
from math import ceil, floor
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.errors import UsageError
from vitrail.images.patches import Sides, grid_within

Resize = Literal["squash", "crop", "pad", "native"]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class InputRule:
    """How an image becomes the canvas, and the canvas the normalised input.

    The canvas is a square; or with `native` it has the image's own shape, in at most as many patches as the square.
    Or the input is no image but a set of vectors, float32 [T, width], at most `size` of them, taken as they are;
    of a graph the last `edges` numbers of a vector are those of its neighbours, from 0, and -1 for none.
    """

    size: int
    resize: Resize = "squash"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    patch: Annotated[int | None, "side of the patches of images at their own shapes; null for squares"] = None
    width: Annotated[int | None, "numbers in each vector, where the input is sets of vectors; null for images"] = None
    edges: Annotated[int, "numbers in each vector that are neighbours, where a set is a graph; else 0"] = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"a canvas has a size of at least 1 pixel, not {self.size}")
        if self.resize not in get_args(Resize):
            known = ", ".join(get_args(Resize))
            raise UsageError(f"resize rule '{self.resize}' is unknown; known are {known}")
        if self.width is not None and (self.width < 1 or self.patch is not None or not self.is_native):
            raise UsageError("vectors have at least one number each, keep their number, and have no patches")
        if self.edges and not 0 < self.edges < (self.width or 0):
            raise UsageError(f"{self.edges} edges of each node leave no numbers of its own: its vector is wider")
        if self.width is None and (self.patch is not None) != self.is_native:
            raise UsageError("the resize rule native needs the side of its patches, and no other rule has one")
        if self.patch is not None and not 1 <= self.patch <= self.size:
            raise UsageError(f"a patch has from 1 to {self.size} pixels a side, not {self.patch}")
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))

    @property
    def is_native(self) -> bool:
        """Whether inputs are sets of any number of vectors, as the shapes of images or the lengths of others are."""
        return self.resize == "native"

    @property
    def vectors(self) -> int:
        """The most vectors of a set: patches of an image at its own shape, or others."""
        return self.size if self.patch is None else (self.size // self.patch) ** 2


def input_rule(size: int, resize: Resize, patch: int | None, width: int | None, edges: int = 0) -> InputRule:
    """The rule of images, or of vectors of this width, which are not resized; in graphs, so many are neighbours."""
    if width is None:
        return InputRule(size, resize, patch=patch)
    if resize not in ("squash", "native") or patch is not None:
        raise UsageError("these data are vectors and no images: leave out --data.resize and --data.patch")
    return InputRule(size, "native", width=width, edges=edges)


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image, perhaps decoded at a smaller scale: both sides are then rounded up to whole pixels."""

    pixels: Image.Image
    size: Sides  # of the image in the file, upright
    scale: int = 1  # reduction factor
    corner: tuple[float, float] = (0, 0)  # where the image begins in `pixels`, after rounding and rotation

    def box(self, left: int, top: int, right: int, bottom: int) -> Box:
        """A part of the image in the file, as a part of `pixels`."""
        x, y = self.corner
        return (x + left / self.scale, y + top / self.scale, x + right / self.scale, y + bottom / self.scale)


def inner_sides(sides: Sides, rule: InputRule) -> Sides:
    """The size of the image on the canvas: all of it, except for padded images."""
    if rule.patch is not None:
        rows, columns = grid_within(sides, rule.vectors)
        return columns * rule.patch, rows * rule.patch
    if rule.resize != "pad":
        return rule.size, rule.size
    longest = max(sides)
    across, down = (max(1, (2 * rule.size * side + longest) // (2 * longest)) for side in sides)  # to the nearest
    return across, down


def to_canvas(image: Image.Image, rule: InputRule) -> NDArray[np.uint8]:
    """An RGB image as the canvas of the rule, uint8 [size, size, 3], or of the image's own shape."""
    return place(DecodedImage(image, image.size), rule)


def place(image: DecodedImage, rule: InputRule) -> NDArray[np.uint8]:
    """The image, or its central square, resized; where bars are left, they are black."""
    width, height = image.size
    if rule.resize == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        width, height = left + side, top + side
    else:
        left, top = 0, 0
    across, down = inner_sides(image.size, rule)
    inside = resized(image.pixels, image.box(left, top, width, height), (across, down))
    if rule.is_native or (across, down) == (rule.size, rule.size):
        return np.array(inside)
    canvas = Image.new("RGB", (rule.size, rule.size))
    canvas.paste(inside, ((rule.size - across) // 2, (rule.size - down) // 2))
    return np.array(canvas)


def resized(pixels: Image.Image, box: Box, sides: Sides) -> Image.Image:
    """Crop to the box and resize; pixels outside it do not influence the edges."""
    left, top, right, bottom = floor(box[0]), floor(box[1]), ceil(box[2]), ceil(box[3])
    if (left, top, right, bottom) != (0, 0, *pixels.size):
        pixels = pixels.crop((left, top, right, bottom))
    within = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return pixels.resize(sides, Image.Resampling.BILINEAR, within)
