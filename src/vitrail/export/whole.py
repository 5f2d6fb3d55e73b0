"""The second path: whole pictures resized in the graph, compared with the measured path on test pictures."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.card import Whole
from vitrail.data import Source
from vitrail.export.proof import BATCH, cpu_session

Picture = NDArray[np.uint8]

PICTURES = 200  # at most: a large photo takes half a second in the graph
PIXELS = 1_000_000  # at most, answered at once: a photo's floats fill more than a cache


def compare_whole(source: Source, model: bytes, measured: NDArray[np.float64]) -> Whole:
    """Answer test pictures, evenly chosen, as they are; `measured` [N, K] are the probabilities of their canvases."""
    session = cpu_session(model)
    chosen = np.unique(np.linspace(0, len(measured) - 1, min(PICTURES, len(measured))).round().astype(int))
    pictures = (source.whole("test", int(i)) for i in chosen)
    whole = np.concatenate([answer(session, batch) for batch in batches(pictures)])
    return Whole(
        pictures=len(chosen),
        flips=int((measured[chosen].argmax(1) != whole.argmax(1)).sum()),
        max_probability_difference=float(np.abs(measured[chosen] - whole).max()),
    )


def batches(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Neighbours of one shape together, for one tensor holds one shape: [n, h, w, 3]."""
    for (height, width, _), alike in groupby(pictures, np.shape):
        most = min(BATCH, max(1, PIXELS // (height * width)))
        while batch := list(islice(alike, most)):
            yield np.stack(batch)


def answer(session: ort.InferenceSession, batch: Picture) -> NDArray[np.float32]:
    probabilities: NDArray[np.float32] = session.run(["probabilities"], {"image": batch})[0]
    return probabilities
