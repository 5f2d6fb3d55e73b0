"""How many times as fast one file is as another, on this machine, in rounds that alternate."""

from time import perf_counter

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.exporting.parity import patch_of
from vitrail.images.patches import inputs_of

ROUNDS = 7
LEAST = 0.08  # least seconds of a turn


def times_as_fast(session: ort.InferenceSession, base: ort.InferenceSession, images: NDArray[np.uint8]) -> list[float]:
    """The ratio of `base`'s time to `session`'s for this batch, one a round."""
    for each in (session, base):
        run(each, images, 2)  # warm
    times = max(1, round(LEAST / run(base, images, 1)))
    return [run(base, images, times) / run(session, images, times) for _ in range(ROUNDS)]


def run(session: ort.InferenceSession, images: NDArray[np.uint8], times: int) -> float:
    inputs = inputs_of(images, patch_of(session))
    begin = perf_counter()
    for _ in range(times):
        session.run(["probabilities"], inputs)
    return perf_counter() - begin
