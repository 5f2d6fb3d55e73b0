"""An image under its evidence: warm where it is for a label, cold where against."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 224  # pixels that the longer side of a drawing has at least
WARM = (255, 92, 30)
COLD = (20, 112, 255)
DENSEST = 0.8  # how much of the image the strongest evidence hides
GREY = (0.299, 0.587, 0.114)
PALE = (36, 0.72)  # greys are lifted and drawn together, so that the tint shows on black and on white


def draw_overlay(canvas: NDArray[np.uint8], evidence: NDArray[np.float32]) -> Image.Image:
    """Canvas [H, W, 3] and evidence [h, w] over all of it → an RGB drawing; whole pixels, smooth evidence."""
    scale = -(-SIDE // max(canvas.shape))
    image = pale(canvas).repeat(scale, axis=0).repeat(scale, axis=1)  # [scale · H, scale · W, 1]
    strength = spread(balanced(evidence), image.shape[:2])[:, :, None]
    colour = np.where(strength > 0, np.array(WARM, np.float32), np.array(COLD, np.float32))
    cover = DENSEST * np.abs(strength)
    return Image.fromarray(np.rint(image * (1 - cover) + colour * cover).astype(np.uint8))


def pale(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W, 3] → [H, W, 1]: without colours of its own, which would be taken for evidence."""
    lift, contrast = PALE
    grey: NDArray[np.float32] = np.dot(canvas.astype(np.float32), np.array(GREY, np.float32))
    return lift + contrast * grey[:, :, None]


def balanced(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same, between -1 and 1, zero kept in its place: as far from zero is as strong, on either side."""
    largest = float(np.abs(evidence).max())
    return evidence / largest if largest > 0 else np.zeros_like(evidence)


def spread(evidence: NDArray[np.float32], sides: tuple[int, ...]) -> NDArray[np.float32]:
    """[h, w] → these sides, each cell's value in its middle and drawn smoothly to the next."""
    height, width = sides
    return np.array(Image.fromarray(evidence).resize((width, height), Image.Resampling.BILINEAR))
