"""How many times as fast one file is as another, on this machine, in rounds that alternate."""

from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.exporting.parity import patch_of
from vitrail.images.patches import inputs_of
from vitrail.runtime.openvino import CompiledGraph

ROUNDS = 7
LEAST = 0.08  # least seconds of a turn

Session: TypeAlias = ort.InferenceSession | CompiledGraph
Inputs = dict[str, NDArray[Any]]


def times_as_fast(
    session: Session, base: ort.InferenceSession, images: NDArray[np.uint8], rounds: int = ROUNDS
) -> list[float]:
    """The ratio of `base`'s time to `session`'s for this batch, one a round."""
    inputs = inputs_of(images, patch_of(base))
    for each in (session, base):
        run(each, inputs, 2)  # warm
    times = max(1, round(LEAST / run(base, inputs, 1)))
    return [run(base, inputs, times) / run(session, inputs, times) for _ in range(rounds)]


def run(session: Session, inputs: Inputs, times: int) -> float:
    begin = perf_counter()
    for _ in range(times):
        session.run(["probabilities"], inputs)
    return perf_counter() - begin
