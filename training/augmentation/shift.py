"""Images padded and cropped at a random place, as is usual for CIFAR."""

import numpy as np
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.training.augmentation.batch_transform import Augmented, BatchTransform
from vitrail.training.augmentation.warp import matrices, warped


class Shift(BatchTransform):
    """Moves each image by whole pixels; what is uncovered is black.

    Args:
        padding: the largest distance in pixels, in each of four directions.
    """

    def __init__(self, padding: int = 4) -> None:
        super().__init__()
        if padding < 1:
            raise UsageError(f"a shift is by at least one pixel, not {padding}")
        self.padding = padding

    def forward(self, images: Tensor, maps: Tensor | None, draws: Draws) -> Augmented:
        across, down = np.floor(draws.uniform(2).T * (2 * self.padding + 1)) - self.padding
        return warped(images, maps, matrices(x=across, y=down))
