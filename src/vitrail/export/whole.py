"""The second path: whole pictures resized in the graph, compared with the measured path on test pictures."""

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.card import Whole
from vitrail.data import Source
from vitrail.export.proof import cpu_session

PICTURES = 200  # at most: a large photo takes half a second in the graph


def compare_whole(source: Source, model: bytes, measured: NDArray[np.float64]) -> Whole:
    """Answer test pictures, evenly chosen, as they are; `measured` [N, K] are the probabilities of their canvases."""
    session = cpu_session(model)
    chosen = np.unique(np.linspace(0, len(measured) - 1, min(PICTURES, len(measured))).round().astype(int))
    whole = np.concatenate([answer(session, source.whole("test", int(i))) for i in chosen])
    return Whole(
        pictures=len(chosen),
        flips=int((measured[chosen].argmax(1) != whole.argmax(1)).sum()),
        max_probability_difference=float(np.abs(measured[chosen] - whole).max()),
    )


def answer(session: ort.InferenceSession, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    probabilities: NDArray[np.float32] = session.run(["probabilities"], {"image": picture[None]})[0]
    return probabilities
