"""`vitrail bench decode`: photos through `images.fit`, beside decoding all of their pixels first."""

from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitrail.bench.core.report import Progress, Report, RoundsPlan, silent
from vitrail.bench.core.rounds import MedianInterval, Times, run_rounds
from vitrail.bench.core.tables import background_text
from vitrail.bench.decode.photos import MIN_VIEW, cut_views, find_photos, from_camera, large_enough
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.images.decode import decode, fit
from vitrail.model_file.classifier import Classifier
from vitrail.runtime.machine import installed_versions
from vitrail.tasks.intervals import Share, wilson

OURS, FULL = "images.fit", "decode all, then resize"
MARGIN = 0.02  # between the two most probable labels; below it, the label is ambiguous
BATCH = 32
PACKAGES = ("vitrail", "pillow", "numpy", "onnxruntime", "onnxruntime-gpu")
Canvas = NDArray[np.uint8]


@dataclass(frozen=True)
class Plan(RoundsPlan):
    """What to measure and how long."""

    photos: str
    model: str | None = None
    views: int = 2000
    size: int = 224
    quality: int = 90
    camera: tuple[int, int] = (4000, 3000)
    min_view: int = MIN_VIEW

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views < 1:
            raise UsageError("at least 1 view is compared")
        if not 1 <= self.quality <= 95:
            raise UsageError(f"the quality of a JPEG lies between 1 and 95, not at {self.quality}")


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
    """How the predictions on canvases of both ways agree."""

    model: str
    views: int
    megapixels: tuple[float, float]
    accuracy: Share  # of the full way
    all: Share
    clear: Share  # where the full way's margin exceeds MARGIN
    max_probability_difference: float


@dataclass(frozen=True, kw_only=True)
class DecodeReport(Report):
    """Speed, and with a model the agreement of both ways."""

    plan: Plan
    rule: InputRule
    speed: Speed
    agreement: Agreement | None
    kind: Literal["decode"] = "decode"


def measure(plan: Plan, progress: Progress = silent) -> DecodeReport:
    """Speed on photos as a camera stores them; with a model, also its agreement on views cut from them."""
    photos = find_photos(plan.photos)
    classifier = Classifier(plan.model, "cpu") if plan.model else None
    rule = classifier.card.input if classifier else InputRule(plan.size)
    return DecodeReport(
        plan=plan,
        rule=rule,
        speed=measure_speed(plan, photos, rule, progress),
        agreement=compare(plan, large_enough(photos, plan.min_view), classifier, progress) if classifier else None,
        versions=installed_versions(PACKAGES),
    )


def decode_all(data: bytes, rule: InputRule) -> Canvas:
    return to_canvas(decode(data), rule)


WAYS = {OURS: fit, FULL: decode_all}


def measure_speed(plan: Plan, photos: list[Path], rule: InputRule, progress: Progress) -> Speed:
    progress(f"{len(photos)} photos, stored as {plan.camera[0]}×{plan.camera[1]}")
    uploads = [from_camera(photo, *plan.camera, plan.quality) for photo in photos]
    levels = max(int(np.abs(fit(data, rule).astype(int) - decode_all(data, rule)).max()) for data in uploads)
    steps = {name: lambda way=way: [way(data, rule) for data in uploads] for name, way in WAYS.items()}
    # One thread does all the work, so CPU seconds are measured, whatever else runs in between.
    timings = run_rounds(
        steps,
        plan.rounds,
        plan.seconds,
        plan.seed,
        clock=process_time,
        progress=lambda line: progress(f"speed: {line}"),
    )
    return Speed(
        photos=len(uploads),
        megabytes=sum(map(len, uploads)) / 1e6,
        uploads_per_second={name: 1000 * len(uploads) / timings.milliseconds(name).value for name in WAYS},
        speedup=timings.speedup(OURS, FULL),
        max_grey_levels=levels,
        background_load=timings.background_load,
        rounds=timings.rounds,
    )


def compare(plan: Plan, photos: list[Path], classifier: Classifier, progress: Progress) -> Agreement:
    """Predictions of the same model on the same views, decoded both ways."""
    names = classifier.card.classes
    unknown = [photo.stem for photo in photos if photo.stem not in names]
    if unknown:
        raise UsageError(
            f"{plan.model} does not know the photographs {', '.join(unknown[:3])}: "
            "fit one on views that `vitrail bench decode --cut` writes"
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
    """How often probabilities [views, classes] of both ways have the same most probable class."""
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


def report_text(report: DecodeReport) -> str:
    title = f"canvases of {report.rule.size}, rule {report.rule.resize}, seed {report.plan.seed}"
    parts = [report.header(title, cores="cores of which one is used"), speed_text(report.plan, report.speed)]
    return "\n\n".join([*parts, agreement_text(report.agreement)] if report.agreement else parts)


def speed_text(plan: Plan, speed: Speed) -> str:
    ratio = speed.speedup
    rates = "\n".join(
        f"  {name:<24}{rate:7.1f} uploads/s {1000 / rate:8.1f} ms each"
        for name, rate in speed.uploads_per_second.items()
    )
    return (
        f"{speed.photos} photos of {plan.camera[0]}×{plan.camera[1]} at quality {plan.quality}, "
        f"{speed.megabytes:.1f} MB{background_text(speed.background_load)}\n{rates}\n"
        f"{OURS} is {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] times as fast: median of {plan.rounds} "
        f"rounds, with an interval of {ratio.coverage:.1%}\n"
        f"canvases differ by {speed.max_grey_levels} grey levels at most"
    )


def agreement_text(agreement: Agreement) -> str:
    least, most = agreement.megapixels
    return (
        f"{agreement.views:,} views of {least:.1f} to {most:.1f} megapixels, classified by {agreement.model}\n"
        f"  same label                              {agreement.all} of {agreement.all.total:,}\n"
        f"  same label where the margin exceeds {MARGIN}  {agreement.clear} of {agreement.clear.total:,}\n"
        f"  largest difference of a probability     {agreement.max_probability_difference:.4f}\n"
        f"  accuracy, decoded in full               {agreement.accuracy}"
    )
