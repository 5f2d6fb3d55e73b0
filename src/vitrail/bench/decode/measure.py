"""`vitrail bench decode`: photos through `images.fit`, beside decoding all of their pixels first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitrail.bench.core.machine import Machine, background_load, cpu_usage, installed_versions, this_machine
from vitrail.bench.core.rounds import MIN_ROUNDS, MedianInterval, Times, alternate, median_interval, speedups
from vitrail.bench.decode.photos import MIN_VIEW, cut_views, find_photos, from_camera, large_enough
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.images.decode import decode, fit
from vitrail.model_file.classifier import Classifier
from vitrail.tasks.intervals import Share, wilson

OURS, FULL = "images.fit", "decode all, then resize"
MARGIN = 0.02  # of the two most probable labels; below it, either is as good as the other
BATCH = 32
PACKAGES = ("vitrail", "pillow", "numpy", "onnxruntime", "onnxruntime-gpu")
Canvas = NDArray[np.uint8]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure and how long."""

    photos: str
    model: str | None = None
    views: int = 2000
    size: int = 224
    quality: int = 90
    camera: tuple[int, int] = (4000, 3000)
    min_view: int = MIN_VIEW
    rounds: int = 7
    seconds: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < MIN_ROUNDS:
            raise UsageError(f"{self.rounds} rounds say too little: measure at least {MIN_ROUNDS}")
        if self.views < 1:
            raise UsageError("at least 1 view is compared")
        if not 1 <= self.quality <= 95:
            raise UsageError(f"the quality of a JPEG lies between 1 and 95, not at {self.quality}")
        if self.seconds <= 0:
            raise UsageError("a round takes more than 0 seconds")


@dataclass(frozen=True)
class Speed:
    """How fast photos become canvases, all of them once a call."""

    photos: int
    megabytes: float
    uploads_per_second: dict[str, float]
    speedup: MedianInterval
    max_grey_levels: int  # by which the two ways differ anywhere
    background_load: float | None
    rounds: Times  # seconds of a core for all photos


@dataclass(frozen=True)
class Agreement:
    """What a model answers to canvases of both ways."""

    model: str
    views: int
    megapixels: tuple[float, float]
    accuracy: Share  # of the full way: whether these answers mean anything
    all: Share
    clear: Share  # where the full way's margin exceeds MARGIN
    max_probability_difference: float


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and everything needed to measure it again."""

    plan: Plan
    rule: InputRule
    speed: Speed
    agreement: Agreement | None
    machine: Machine
    versions: dict[str, str]
    date: str
    kind: Literal["decode"] = "decode"


def measure(plan: Plan, progress: Progress = lambda line: None) -> Report:
    """Speed on photos as a camera stores them; with a model, also how its answers agree on views cut from them."""
    photos = find_photos(plan.photos)
    classifier = Classifier(plan.model, "cpu") if plan.model else None
    rule = classifier.card.input if classifier else InputRule(plan.size)
    return Report(
        plan=plan,
        rule=rule,
        speed=measure_speed(plan, photos, rule, progress),
        agreement=compare(plan, large_enough(photos, plan.min_view), classifier, progress) if classifier else None,
        machine=this_machine(),
        versions=installed_versions(PACKAGES),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def decode_all(data: bytes, rule: InputRule) -> Canvas:
    return to_canvas(decode(data), rule)


WAYS = {OURS: fit, FULL: decode_all}


def measure_speed(plan: Plan, photos: list[Path], rule: InputRule, progress: Progress) -> Speed:
    progress(f"{len(photos)} photos, stored as {plan.camera[0]}×{plan.camera[1]}")
    uploads = [from_camera(photo, *plan.camera, plan.quality) for photo in photos]
    levels = max(int(np.abs(fit(data, rule).astype(int) - decode_all(data, rule)).max()) for data in uploads)
    steps = {name: lambda way=way: [way(data, rule) for data in uploads] for name, way in WAYS.items()}
    begin = cpu_usage()
    # One thread does it all, so the seconds of its core count, whoever else holds it in between.
    rounds = alternate(
        steps,
        plan.rounds,
        plan.seconds,
        plan.seed,
        clock=process_time,
        progress=lambda done: progress(f"speed: round {done + 1} of {plan.rounds}"),
    )
    return Speed(
        photos=len(uploads),
        megabytes=sum(map(len, uploads)) / 1e6,
        uploads_per_second={name: len(uploads) / median_interval(seconds).value for name, seconds in rounds.items()},
        speedup=median_interval(speedups(rounds[OURS], rounds[FULL])),
        max_grey_levels=levels,
        background_load=background_load(begin, cpu_usage()),
        rounds=rounds,
    )


def compare(plan: Plan, photos: list[Path], classifier: Classifier, progress: Progress) -> Agreement:
    """The same views both ways, before the same model."""
    names = classifier.card.classes
    unknown = [photo.stem for photo in photos if photo.stem not in names]
    if unknown:
        raise UsageError(
            f"{plan.model} does not know the photographs {', '.join(unknown[:3])}: "
            "fit one on views that `vitrail bench decode --cut` has cut"
        )
    ours, full, labels, pixels = [], [], [], []
    for done, view in enumerate(cut_views(photos, plan.views, plan.seed, plan.min_view)):
        if done % 100 == 0:
            progress(f"views: {done} of {plan.views}")
        ours.append(fit(view.jpeg, classifier.card.input))
        full.append(decode_all(view.jpeg, classifier.card.input))
        labels.append(names.index(view.photo))
        pixels.append(view.pixels)
    return agreement(
        probabilities(classifier, ours),
        probabilities(classifier, full),
        np.array(labels),
        str(plan.model),
        (min(pixels) / 1e6, max(pixels) / 1e6),
    )


def probabilities(classifier: Classifier, canvases: list[Canvas]) -> NDArray[np.float32]:
    batches = [np.stack(canvases[begin : begin + BATCH]) for begin in range(0, len(canvases), BATCH)]
    return np.concatenate([classifier.predict(batch).probabilities for batch in batches])


def agreement(
    ours: NDArray[np.float32],
    full: NDArray[np.float32],
    labels: NDArray[np.int64],
    model: str,
    megapixels: tuple[float, float],
) -> Agreement:
    """Probabilities [views, classes] of both ways → how often the same class is the most probable one."""
    same = ours.argmax(axis=1) == full.argmax(axis=1)
    ordered = np.sort(full, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > MARGIN
    return Agreement(
        model=model,
        views=len(same),
        megapixels=megapixels,
        accuracy=wilson(int((full.argmax(axis=1) == labels).sum()), len(labels)),
        all=wilson(int(same.sum()), len(same)),
        clear=wilson(int(same[clear].sum()), int(clear.sum())),
        max_probability_difference=float(np.abs(ours - full).max()),
    )


def report_text(report: Report) -> str:
    """What was measured, as people read it."""
    parts = [head(report), speed_text(report.plan, report.speed)]
    return "\n\n".join([*parts, agreement_text(report.agreement)] if report.agreement else parts)


def head(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"canvases of {report.rule.size}, rule {report.rule.resize}, seed {report.plan.seed}\n"
        f"{machine.cpu}, {machine.cores} cores of which one is used, {machine.memory_gib} GiB\n"
        f"{report.date}\n{versions}"
    )


def speed_text(plan: Plan, speed: Speed) -> str:
    ratio, others = speed.speedup, speed.background_load
    beside = "" if others is None else f", while other programs held {others:.1f} cores"
    rates = "\n".join(
        f"  {name:<24}{rate:7.1f} uploads/s {1000 / rate:8.1f} ms each"
        for name, rate in speed.uploads_per_second.items()
    )
    return (
        f"{speed.photos} photos of {plan.camera[0]}×{plan.camera[1]} at quality {plan.quality}, "
        f"{speed.megabytes:.1f} MB{beside}\n{rates}\n"
        f"{OURS} is {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] times as fast: median of {plan.rounds} "
        f"rounds, the interval holds it with {ratio.coverage:.1%}\n"
        f"canvases differ by {speed.max_grey_levels} grey levels at most"
    )


def agreement_text(found: Agreement) -> str:
    least, most = found.megapixels
    return (
        f"{found.views:,} views of {least:.1f} to {most:.1f} megapixels before {found.model}\n"
        f"  same label                              {found.all} of {found.all.total:,}\n"
        f"  same label where the margin exceeds {MARGIN}  {found.clear} of {found.clear.total:,}\n"
        f"  largest difference of a probability     {found.max_probability_difference:.4f}\n"
        f"  right label, decoded in full            {found.accuracy}"
    )
