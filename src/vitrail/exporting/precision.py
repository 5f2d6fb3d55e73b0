"""The same network in fewer bits: made, weighed against float32 on test images, and kept only where it holds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, get_args

import numpy as np
import onnxruntime as ort

from vitrail.data import Samples
from vitrail.errors import ParityError
from vitrail.exporting.fp16 import to_fp16
from vitrail.exporting.graph import Graph
from vitrail.exporting.int8 import to_int8, to_int8_dynamic
from vitrail.exporting.loss import loss_bound
from vitrail.exporting.parity import Images, Proof, by_file, compare, cpu_session
from vitrail.exporting.speed import times_as_fast
from vitrail.model_file.card import Precision, PrecisionKind
from vitrail.tasks.intervals import wilson

Choice = Literal[PrecisionKind, "auto"]
REDUCED: tuple[PrecisionKind, ...] = get_args(PrecisionKind)[1:]

ENOUGH = 2000  # test images; with fewer, no reduced precision is chosen by itself
CALIBRATION = 200  # images
SPEED_BATCHES = (1, 8)
INDEPENDENT = 1e-3  # of logits' deviation: a neighbour may not change an answer by more


@dataclass(frozen=True)
class Candidate:
    """A model that could be written, what it answers, and how it compares; float32 has nothing to compare with."""

    kind: PrecisionKind
    model: bytes
    proof: Proof
    weighed: Precision | None = None


@dataclass(frozen=True)
class Scales:
    """What reduced files are weighed with."""

    full: Candidate
    graph: Graph
    real: Images  # canvases that calibrate
    test: Samples
    most: float  # of accuracy that may be lost


def choose(choice: Choice, scales: Scales, say: Callable[[str], None]) -> tuple[Candidate, tuple[Precision, ...]]:
    """The candidate to write, and all that were weighed."""
    if choice == "fp32":
        return scales.full, ()
    candidates = []
    for kind in REDUCED if choice == "auto" else (choice,):
        say(f"weighing {kind} against float32")
        candidates.append(weigh(kind, make(kind, scales), scales))
    kept = fastest(candidates, scales) if choice == "auto" else accept(candidates[0], scales)
    weighed = [candidate.weighed for candidate in candidates if candidate.weighed]
    return kept, tuple(replace(one, verdict="kept") if one.kind == kept.kind else one for one in weighed)


def fastest(candidates: list[Candidate], scales: Scales) -> Candidate:
    """Of those with nothing against them, and float32."""
    sound = [one for one in candidates if one.weighed and not reasons_against(one.weighed, one.proof, scales.most)]
    return max(sound, key=speed, default=scales.full)


def accept(candidate: Candidate, scales: Scales) -> Candidate:
    """A precision that was asked for by name: only its accuracy can speak against it."""
    weighed = candidate.weighed
    if weighed and too_lossy(weighed, scales.most, enough=len(scales.test) >= ENOUGH):
        raise ParityError(
            f"{weighed.kind} loses {100 * weighed.loss:.2f} points of accuracy on {len(scales.test):,} test images "
            f"(under {100 * weighed.loss_bound:.2f}, 95 % sure), more than the {100 * scales.most:g} allowed: "
            "choose another --precision, or allow more with --max_loss"
        )
    return candidate


def make(kind: PrecisionKind, scales: Scales) -> bytes:
    model = scales.full.model
    if kind == "fp16":
        return to_fp16(model)
    return to_int8(model, scales.real[:CALIBRATION]) if kind == "int8" else to_int8_dynamic(model)


def weigh(kind: PrecisionKind, model: bytes, scales: Scales) -> Candidate:
    """Answer all test images with the reduced file, and time it beside the full one."""
    full, test = scales.full, scales.test
    proof = compare(scales.graph, model, test.images, full.proof.expected)
    right, was_right = (one.logits.argmax(1) == test.labels for one in (proof, full.proof))
    lost, won = int((was_right & ~right).sum()), int((right & ~was_right).sum())
    session, base = (cpu_session(one) for one in (model, full.model))
    weighed = Precision(
        kind=kind,
        bytes=len(model),
        accuracy=wilson(int(right.sum()), len(test)),
        loss=(lost - won) / len(test),
        loss_bound=loss_bound(lost, won, len(test)),
        batch_difference=neighbours_effect(session, test.images),
        speed={str(size): middle_speed(session, base, test.images, size) for size in SPEED_BATCHES},
        verdict="",
    )
    reasons = reasons_against(weighed, proof, scales.most)
    return Candidate(kind, model, proof, replace(weighed, verdict=", ".join(reasons) or "sound, another is faster"))


def middle_speed(session: ort.InferenceSession, base: ort.InferenceSession, images: Images, size: int) -> float:
    """Times as fast as `base` in batches of this size, the median of alternating rounds."""
    batch = images[np.arange(size) % len(images)]
    return float(np.median(times_as_fast(session, base, batch)))


def reasons_against(weighed: Precision, proof: Proof, most: float) -> list[str]:
    """Why a precision is not chosen by itself."""
    found = []
    if weighed.accuracy.total < ENOUGH:
        found.append(f"fewer than {ENOUGH:,} test images")
    if too_lossy(weighed, most, enough=True):
        found.append(f"may lose {100 * weighed.loss_bound:.2f} points")
    if weighed.batch_difference > INDEPENDENT * max(1.0, proof.parity.logit_sd):
        found.append("answers depend on the batch")
    slower = [size for size, times in weighed.speed.items() if times <= 1]
    if slower:
        found.append(f"not faster at batch {' and '.join(slower)}")
    return found


def too_lossy(weighed: Precision, most: float, *, enough: bool) -> bool:
    """With enough images the bound decides; with fewer no bound could hold, and what was seen has to do."""
    return (weighed.loss_bound if enough else weighed.loss) > most


def speed(candidate: Candidate) -> float:
    """Over all batch sizes: their ratios multiplied."""
    return prod(candidate.weighed.speed.values()) if candidate.weighed else 1.0


def neighbours_effect(session: ort.InferenceSession, images: Images) -> float:
    """How far an image's logits move between being alone and having others beside it."""
    together = images[:8]
    alone = np.concatenate([by_file(session, image[None]) for image in together])
    return float(np.abs(by_file(session, together) - alone).max())
