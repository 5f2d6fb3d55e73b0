"""An image under its evidence: warm where it is for a label, cold where against."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 224  # least side of the drawing in pixels
WARM = (255, 92, 30)
COLD = (20, 112, 255)
DENSEST = 0.8  # how much of the image the strongest evidence hides
GREY = (0.299, 0.587, 0.114)
PALE = (36, 0.72)  # greys are lifted and drawn together, so that the tint shows on black and on white


def draw_overlay(canvas: NDArray[np.uint8], evidence: NDArray[np.float32]) -> Image.Image:
    """Canvas [size, size, 3] and evidence [h, w] over all of it → an RGB drawing; whole pixels, smooth evidence."""
    scale = -(-SIDE // len(canvas))
    image = pale(canvas).repeat(scale, axis=0).repeat(scale, axis=1)  # [side, side, 1]
    strength = spread(balanced(evidence), len(image))[:, :, None]  # [side, side, 1]
    colour = np.where(strength > 0, np.array(WARM, np.float32), np.array(COLD, np.float32))
    cover = DENSEST * np.abs(strength)
    return Image.fromarray(np.rint(image * (1 - cover) + colour * cover).astype(np.uint8))


def pale(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[size, size, 3] → [size, size, 1]: without colours of its own, which would be taken for evidence."""
    lift, contrast = PALE
    grey: NDArray[np.float32] = np.dot(canvas.astype(np.float32), np.array(GREY, np.float32))
    return lift + contrast * grey[:, :, None]


def balanced(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same, between -1 and 1, zero kept in its place: as far from zero is as strong, on either side."""
    largest = float(np.abs(evidence).max())
    return evidence / largest if largest > 0 else np.zeros_like(evidence)


def spread(evidence: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """[h, w] → [side, side], each cell's value in its middle and drawn smoothly to the next."""
    return np.array(Image.fromarray(evidence).resize((side, side), Image.Resampling.BILINEAR))
