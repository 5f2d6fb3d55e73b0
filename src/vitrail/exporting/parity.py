"""Parity: the file must give the network's outputs on real images, in batches of several sizes."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.errors import ParityError
from vitrail.exporting.graph import Graph
from vitrail.images.patches import inputs_of
from vitrail.model_file.card import Parity
from vitrail.runtime.providers import session_options
from vitrail.tasks import CLASSIFICATION, Task

BOUND = 1e-4  # of logits on canvases, times their deviation where that is above 1; of values, in their units
RESIZED = 10  # as many times the bound where the graph resizes
BATCHES = (1, 2, 3, 7)
BATCH = 8  # activations of one layer are still in the cache for the next
RESIZED_IMAGES = 3

Logits = NDArray[np.float32]
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Proof:
    """Outputs of the network and the file on the test images, and their difference."""

    parity: Parity
    expected: Logits  # or values
    logits: Logits
    task: Task = CLASSIFICATION


def prove(graph: Graph, model: bytes, images: Images) -> Proof:
    """Run both on all test canvases; raise ParityError where they differ."""
    proof = compare(graph, model, images, all_by_network(graph, images))
    refuse_differences(proof)
    return proof


def compare(graph: Graph, model: bytes, images: Images, ours: Logits) -> Proof:
    """Run the file on all test canvases; `ours` are the network's outputs."""
    session = cpu_session(model)
    theirs = all_by_file(session, images)
    errors = graph.differences(ours, theirs)
    parity = Parity(
        images=len(images),
        max_logit_error=max(float(errors.max()), in_small_batches(session, images, ours, graph)),
        mean_logit_error=float(errors.mean()),
        logit_sd=float((ours / graph.units).std()),
        flips=int((graph.task.decisions(ours) != graph.task.decisions(theirs)).any(axis=1).sum()),
        resized_max_logit_error=None if graph.input.rule.is_native else resized_error(graph, session, images),
    )
    return Proof(parity, ours, theirs, graph.task)


def refuse_differences(proof: Proof) -> None:
    parity = proof.parity
    bound = BOUND * max(1.0, parity.logit_sd)
    if not parity.max_logit_error <= bound:
        raise ParityError(
            f"logits of the file differ by {parity.max_logit_error:.2e} from the network's, over {bound:.2e}"
        )
    flips = clear_flips(proof, bound)
    if flips:
        raise ParityError(f"the file changes the predictions of {flips} of {parity.images} test images")
    resized = parity.resized_max_logit_error
    if resized is not None and not resized <= RESIZED * bound:
        raise ParityError(f"logits of images resized in the graph differ by {resized:.2e}, over {RESIZED * bound:.2e}")


def clear_flips(proof: Proof, bound: float) -> int:
    """Images with labels that differ where the network's logits are too far apart for rounding to swap them."""
    task = proof.task
    clear = task.margins(proof.expected) > 2 * bound
    return int((clear & (task.decisions(proof.expected) != task.decisions(proof.logits))).any(axis=1).sum())


def batches(images: Images) -> Iterator[Images]:
    for begin in range(0, len(images), BATCH):
        yield images[begin : begin + BATCH]


def in_small_batches(session: ort.InferenceSession, images: Images, expected: Logits, graph: Graph) -> float:
    """The largest logit error in batches of 1, 2, 3 and 7: every batch size is checked."""
    chosen = [np.arange(size) % len(images) for size in BATCHES]  # few images come more than once
    return float(max(graph.differences(expected[few], by_file(session, images[few])).max() for few in chosen))


def resized_error(graph: Graph, session: ort.InferenceSession, images: Images) -> float:
    """The largest logit error on images that are no canvases: enlarged, and neither square nor even."""
    several = images[:RESIZED_IMAGES]
    tall = several.repeat(3, axis=1).repeat(2, axis=2)
    shapes = (tall, tall[:, :-1], tall[:, 1:, : several.shape[2] + 1])
    errors = [graph.differences(by_network(graph, shape), by_file(session, shape)) for shape in shapes]
    return float(max(error.max() for error in errors))


def patch_of(session: ort.InferenceSession) -> int | None:
    """The side of the patches that a file takes, if it takes patches."""
    first = session.get_inputs()[0]
    return None if first.name != "patches" else isqrt(first.shape[2] // 3)


def all_by_network(graph: Graph, images: Images) -> Logits:
    return np.concatenate([by_network(graph, batch) for batch in batches(images)])


def cpu_session(model: bytes) -> ort.InferenceSession:
    """A model that is not written yet, loaded as `Classifier` will load it."""
    return ort.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])


def all_by_file(session: ort.InferenceSession, images: Images) -> Logits:
    return np.concatenate([by_file(session, batch) for batch in batches(images)])


def by_network(graph: Graph, images: Images) -> Logits:
    return graph.run(images)[graph.task.raw]


def by_file(session: ort.InferenceSession, images: Images) -> Logits:
    """The network's own output, which in every file is the last before the embedding."""
    outputs = [output.name for output in session.get_outputs()]
    raw: Logits = session.run(outputs, inputs_of(images, patch_of(session)))[outputs.index("embedding") - 1]
    return raw
