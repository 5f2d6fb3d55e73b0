"""The second path: whole images resized in the graph, compared with the measured path on test images."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.data import Source
from vitrail.exporting.parity import BATCH, cpu_session
from vitrail.model_file.card import Whole
from vitrail.tasks import Task

Pixels = NDArray[np.uint8]
Outputs = NDArray[Any]

IMAGES = 200  # at most: a large photo takes half a second in the graph
PIXELS = 1_000_000  # at most, answered at once: a photo's floats fill more than a cache


def compare_whole(source: Source, model: bytes, measured: Outputs, task: Task, units: Outputs) -> Whole:
    """Answer test images, evenly chosen, as they are; `measured` [N, …] is what was answered of their canvases.

    Answers are probabilities, or values, which are compared in their `units`.
    """
    session = cpu_session(model)
    chosen = np.unique(np.linspace(0, len(measured) - 1, min(IMAGES, len(measured))).round().astype(int))
    images = (source.whole("test", int(i)) for i in chosen)
    whole = np.concatenate([answer(session, batch, task.outputs[0]) for batch in batches(images)])
    apart = float((np.abs(measured[chosen] - whole) / units).max())
    valued = task.has_units
    return Whole(
        images=len(chosen),
        flips=int((task.decided(measured[chosen]) != task.decided(whole)).any(axis=1).sum()),
        max_probability_difference=None if valued else apart,
        max_value_difference=apart if valued else None,
    )


def batches(images: Iterable[Pixels]) -> Iterator[Pixels]:
    """Neighbours of one shape together, for one tensor holds one shape: [n, h, w, 3]."""
    for (height, width, _), alike in groupby(images, np.shape):
        most = min(BATCH, max(1, PIXELS // (height * width)))
        while batch := list(islice(alike, most)):
            yield np.stack(batch)


def answer(session: ort.InferenceSession, batch: Pixels, output: str) -> Outputs:
    answers: Outputs = session.run([output], {"image": batch})[0]
    return answers
