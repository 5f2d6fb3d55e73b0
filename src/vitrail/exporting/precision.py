"""Reduced precisions: made, compared with float32 on test images, and accepted only without loss."""

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
from vitrail.exporting.speed import ROUNDS, Session, times_as_fast
from vitrail.model_file.card import Precision, PrecisionKind
from vitrail.tasks.intervals import wilson

Choice = Literal[PrecisionKind, "auto"]
REDUCED: tuple[PrecisionKind, ...] = get_args(PrecisionKind)[1:]

ENOUGH = 2000  # test images; with fewer, `auto` chooses no reduced precision
CALIBRATION = 200  # images
SPEED_BATCHES = (1, 8)
INDEPENDENT = 1e-3  # of logits' deviation: the most that the rest of a batch may change an output


@dataclass(frozen=True)
class Candidate:
    """A model that could be written, its outputs, and its comparison with float32 (None for float32 itself)."""

    kind: PrecisionKind
    model: bytes
    proof: Proof
    compared: Precision | None = None


@dataclass(frozen=True)
class Scales:
    """What reduced files are compared with."""

    full: Candidate
    graph: Graph
    calibration: Images  # canvases
    test: Samples
    max_loss: float  # of accuracy


def choose(choice: Choice, scales: Scales, progress: Callable[[str], None]) -> tuple[Candidate, tuple[Precision, ...]]:
    """The candidate to write, and all that were compared."""
    if choice == "fp32":
        return scales.full, ()
    candidates = []
    for kind in REDUCED if choice == "auto" else (choice,):
        progress(f"comparing {kind} with float32")
        candidates.append(evaluate(kind, make(kind, scales), scales))
    chosen = fastest(candidates, scales) if choice == "auto" else accept(candidates[0], scales)
    compared = [candidate.compared for candidate in candidates if candidate.compared]
    return chosen, tuple(replace(one, verdict="chosen") if one.kind == chosen.kind else one for one in compared)


def fastest(candidates: list[Candidate], scales: Scales) -> Candidate:
    """Of those with nothing against them, and float32."""
    sound = [
        one for one in candidates if one.compared and not reasons_against(one.compared, one.proof, scales.max_loss)
    ]
    return max(sound, key=speed, default=scales.full)


def accept(candidate: Candidate, scales: Scales) -> Candidate:
    """A precision requested by name: refused for its loss of accuracy alone."""
    compared = candidate.compared
    if compared and too_lossy(compared, scales.max_loss, enough=len(scales.test) >= ENOUGH):
        raise ParityError(
            f"{compared.kind} loses {100 * compared.loss:.2f} points of accuracy on {len(scales.test):,} test images "
            f"(under {100 * compared.loss_bound:.2f}, 95 % sure), more than the {100 * scales.max_loss:g} allowed: "
            "choose another --precision, or allow more with --max_loss"
        )
    return candidate


def make(kind: PrecisionKind, scales: Scales) -> bytes:
    model = scales.full.model
    if kind == "fp16":
        return to_fp16(model)
    patch = scales.graph.input.rule.patch
    return to_int8(model, scales.calibration[:CALIBRATION], patch) if kind == "int8" else to_int8_dynamic(model)


def evaluate(kind: PrecisionKind, model: bytes, scales: Scales) -> Candidate:
    """Run the reduced file on all test images, and time it beside the full one."""
    full, test = scales.full, scales.test
    proof = compare(scales.graph, model, test.images, full.proof.expected)
    correct, was_correct = (one.logits.argmax(1) == test.labels for one in (proof, full.proof))
    lost, won = int((was_correct & ~correct).sum()), int((correct & ~was_correct).sum())
    session, base = (cpu_session(one) for one in (model, full.model))
    compared = Precision(
        kind=kind,
        bytes=len(model),
        accuracy=wilson(int(correct.sum()), len(test)),
        loss=(lost - won) / len(test),
        loss_bound=loss_bound(lost, won, len(test)),
        batch_difference=neighbours_effect(session, test.images),
        speed=speeds(session, base, test.images),
        verdict="",
    )
    reasons = reasons_against(compared, proof, scales.max_loss)
    return Candidate(kind, model, proof, replace(compared, verdict=", ".join(reasons) or "sound, another is faster"))


def speeds(session: Session, base: ort.InferenceSession, images: Images, rounds: int = ROUNDS) -> dict[str, float]:
    """Times as fast as `base`, by batch size."""
    return {str(size): middle_speed(session, base, images, size, rounds) for size in SPEED_BATCHES}


def middle_speed(
    session: Session, base: ort.InferenceSession, images: Images, size: int, rounds: int = ROUNDS
) -> float:
    """Times as fast as `base` in batches of this size, the median of alternating rounds."""
    batch = images[np.arange(size) % len(images)]
    return float(np.median(times_as_fast(session, base, batch, rounds)))


def reasons_against(compared: Precision, proof: Proof, max_loss: float) -> list[str]:
    """Why `auto` does not choose a precision."""
    reasons = []
    if compared.accuracy.total < ENOUGH:
        reasons.append(f"fewer than {ENOUGH:,} test images")
    if too_lossy(compared, max_loss, enough=True):
        reasons.append(f"may lose {100 * compared.loss_bound:.2f} points")
    if compared.batch_difference > INDEPENDENT * max(1.0, proof.parity.logit_sd):
        reasons.append("outputs depend on the batch")
    slower = [size for size, times in compared.speed.items() if times <= 1]
    if slower:
        reasons.append(f"not faster at batch {' and '.join(slower)}")
    return reasons


def too_lossy(compared: Precision, max_loss: float, *, enough: bool) -> bool:
    """With enough images the bound decides; with fewer the observed loss does."""
    return (compared.loss_bound if enough else compared.loss) > max_loss


def speed(candidate: Candidate) -> float:
    """Over all batch sizes: their ratios multiplied."""
    return prod(candidate.compared.speed.values()) if candidate.compared else 1.0


def neighbours_effect(session: ort.InferenceSession, images: Images) -> float:
    """How far an image's logits move between being alone and having others beside it."""
    together = images[:8]
    alone = np.concatenate([by_file(session, image[None]) for image in together])
    return float(np.abs(by_file(session, together) - alone).max())
