"""The file in OpenVINO: compared with onnxruntime on the test images, so that a server knows whether to choose it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitrail.data import Samples
from vitrail.errors import VitrailError
from vitrail.exporting.loss import loss_bound
from vitrail.exporting.parity import Images, batches, cpu_session
from vitrail.exporting.precision import ENOUGH, speeds
from vitrail.model_file.card import InOpenVINO
from vitrail.runtime.machine import cpu_name, installed_versions
from vitrail.runtime.openvino import CompiledGraph, computes_bf16, has_openvino
from vitrail.runtime.providers import usable_cores
from vitrail.tasks.intervals import wilson

PROVIDER = "openvino-bf16"
MAX_LOSS = 0.005  # of accuracy
MAX_FLIPS = 0.01  # of test images
ROUNDS = 2  # of timing: a server measures the speed itself
CLOSE = 0.02  # by which two labels' probabilities may differ that rounding swaps

Probabilities = NDArray[np.float32]


def compare_in_openvino(model: bytes, size: int, test: Samples, progress: Callable[[str], None]) -> InOpenVINO | None:
    """For one label an image; None where OpenVINO is not installed, or cannot compute the file in bfloat16."""
    if not has_openvino() or not computes_bf16():
        return None
    progress("comparing OpenVINO with onnxruntime")
    try:
        compiled = CompiledGraph(model, size, PROVIDER, usable_cores())
    except VitrailError as error:
        progress(str(error))
        return None
    session = cpu_session(model)
    ours, theirs = (probabilities(one.run, test.images) for one in (session, compiled))
    return comparison(ours, theirs, test.labels, speeds(compiled, session, test.images, ROUNDS))


def probabilities(run: Callable[..., list[Probabilities]], images: Images) -> Probabilities:
    return np.concatenate([run(["probabilities"], {"image": batch})[0] for batch in batches(images)])


def comparison(
    ours: Probabilities, theirs: Probabilities, labels: NDArray[np.int64], speed: dict[str, float]
) -> InOpenVINO:
    """What the card says of the two runtimes' probabilities for the same images."""
    was_correct, correct = (each.argmax(axis=1) == labels for each in (ours, theirs))
    lost, won = int((was_correct & ~correct).sum()), int((correct & ~was_correct).sum())
    flipped = ours.argmax(axis=1) != theirs.argmax(axis=1)
    loss, bound = (lost - won) / len(labels), loss_bound(lost, won, len(labels))
    flips, margin = int(flipped.sum()), float(margins(ours)[flipped].max(initial=0.0))
    return InOpenVINO(
        version=installed_versions(["openvino"])["openvino"],
        processor=cpu_name(),
        accuracy=wilson(int(correct.sum()), len(labels)),
        loss=loss,
        loss_bound=bound,
        flips=flips,
        flip_margin=margin,
        probability_difference=float(np.abs(ours - theirs).max()),
        speed=speed,
        bounds={"loss": MAX_LOSS, "flips": MAX_FLIPS, "flip_margin": CLOSE},
        verdict=verdict(bound if len(labels) >= ENOUGH else loss, flips / len(labels), margin),
    )


def margins(probabilities: Probabilities) -> Probabilities:
    """By how much the best probability of each image is above the next."""
    second, best = np.partition(probabilities, -2, axis=1)[:, -2:].T
    margin: Probabilities = best - second
    return margin


def verdict(loss: float, flips: float, margin: float) -> str:
    """'sound', or every bound that is not kept."""
    reasons = []
    if loss > MAX_LOSS:
        reasons.append(f"may lose {100 * loss:.2f} points of accuracy, over {100 * MAX_LOSS:g}")
    if flips > MAX_FLIPS:
        reasons.append(f"{flips:.1%} of labels flip, over {MAX_FLIPS:.0%}")
    if margin > CLOSE:
        reasons.append(f"a label flips whose lead was {margin:.3f}, over {CLOSE:g}")
    return ", ".join(reasons) or "sound"
