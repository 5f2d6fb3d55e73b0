"""The second path: whole images resized in the graph, compared with the measured path on test images."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.data import Source
from vitrail.exporting.parity import BATCH, cpu_session
from vitrail.model_file.card import WholeImageParity
from vitrail.tasks import Task

Pixels = NDArray[np.uint8]
Outputs = NDArray[Any]
Indices = NDArray[np.int64]

IMAGES = 200  # at most: a large photo takes half a second in the graph
PIXELS = 1_000_000  # at most in a batch: a photo's floats exceed the CPU cache


def compare_whole_images(
    source: Source, tested: Indices, model: bytes, measured: Outputs, task: Task, units: Outputs
) -> WholeImageParity:
    """Run the graph on whole test images, evenly chosen; `measured` [N, …] are the outputs for their canvases.

    `tested` [N] are the indices of these images in the test part.
    Outputs are probabilities, or values, which are compared in their `units`.
    """
    session = cpu_session(model)
    chosen = np.unique(np.linspace(0, len(measured) - 1, min(IMAGES, len(measured))).round().astype(int))
    images = (source.whole("test", i) for i in tested[chosen].tolist())
    whole = np.concatenate([run(session, batch, task.outputs[0]) for batch in batches(images)])
    difference = float((np.abs(measured[chosen] - whole) / units).max())
    valued = task.has_units
    return WholeImageParity(
        images=len(chosen),
        flips=int((task.decided(measured[chosen]) != task.decided(whole)).any(axis=1).sum()),
        max_probability_difference=None if valued else difference,
        max_value_difference=difference if valued else None,
    )


def batches(images: Iterable[Pixels]) -> Iterator[Pixels]:
    """Neighbours of one shape together, for one tensor holds one shape: [n, h, w, 3]."""
    for (height, width, _), alike in groupby(images, np.shape):
        most = min(BATCH, max(1, PIXELS // (height * width)))
        while batch := list(islice(alike, most)):
            yield np.stack(batch)


def run(session: ort.InferenceSession, batch: Pixels, output: str) -> Outputs:
    outputs: Outputs = session.run([output], {"image": batch})[0]
    return outputs
