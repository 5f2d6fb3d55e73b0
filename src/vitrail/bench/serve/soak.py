"""`vitrail bench soak`: our server under load for long; its memory, files and threads must not grow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Literal

from vitrail.bench.core.report import Progress, Report
from vitrail.bench.serve.client import message, run_load, write_messages
from vitrail.bench.serve.load import LoadSpec
from vitrail.bench.serve.processes import ResourceUsage, resource_usage
from vitrail.bench.serve.samples import percentile_ms, status_counts, statuses_text
from vitrail.bench.serve.servers import VITRAIL, Running, started
from vitrail.bench.serve.uploads import uploads
from vitrail.errors import UsageError
from vitrail.model_file.classifier import Classifier

CLIENTS = 16
WARM_UP = 0.2  # of the measurements, which do not count
MAX_GROWTH = 1.05  # of memory, from the first half of the rest to the second
TOLERANCE = 2  # threads and files that may fluctuate
MIN_STRETCHES = 6


@dataclass(frozen=True)
class Measurement:
    """One stretch of load, and the resources in use after it, with all connections closed."""

    minute: float
    rate: float
    p99_ms: float
    statuses: dict[int, int]
    usage: ResourceUsage


@dataclass(frozen=True, kw_only=True)
class SoakReport(Report):
    """All measurements, and whether the resources in use stay flat."""

    model: str
    minutes: float
    measurements: tuple[Measurement, ...]
    flat: bool
    kind: Literal["soak"] = "soak"


def soak(model: str, minutes: float, stretch: float, seed: int, progress: Progress) -> SoakReport:
    """Stretches of load, one damaged upload among the good ones, until the time is over and there are enough."""
    if not 0 < stretch <= 60 * minutes / MIN_STRETCHES:
        raise UsageError(f"{minutes:g} minutes are too short: a soak has at least {MIN_STRETCHES} stretches")
    measurements: list[Measurement] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        messages = write_messages(requests(model, seed), folder / "messages")
        with started(VITRAIL, Path(model), folder, folder / "server") as running:
            begin = monotonic()
            while (passed := (monotonic() - begin) / 60) < minutes or len(measurements) < MIN_STRETCHES:
                measurements.append(measure(running, messages, stretch, passed))
                progress(measurement_text(measurements[-1]))
    is_flat = flat([each.usage for each in measurements])
    return SoakReport(model=model, minutes=minutes, measurements=tuple(measurements), flat=is_flat)


def requests(model: str, seed: int) -> list[bytes]:
    """Good uploads, and a truncated one: errors must not leak either."""
    good = uploads(Classifier(model, "cpu").card.input.size, seed)
    return [message(VITRAIL.path, *VITRAIL.request(upload)) for upload in [*good, good[0][: len(good[0]) // 2]]]


def measure(running: Running, messages: list[str], seconds: float, minute: float) -> Measurement:
    load = run_load(LoadSpec(running.port, messages, running.processes(), CLIENTS, seconds=seconds))
    return Measurement(
        minute=minute,
        rate=len(load.samples) / load.seconds,
        p99_ms=percentile_ms(99, load.samples),
        statuses=status_counts(load.samples),
        usage=resource_usage(running.pid),
    )


def flat(usages: Sequence[ResourceUsage]) -> bool:
    """Whether the later half uses no more than the earlier one, after the warm-up."""
    counted = usages[int(WARM_UP * len(usages)) :]
    early, late = counted[: len(counted) // 2], counted[len(counted) // 2 :]
    return (
        max(each.memory for each in late) <= MAX_GROWTH * max(each.memory for each in early)
        and max(each.files for each in late) <= max(each.files for each in early) + TOLERANCE
        and max(each.threads for each in late) <= max(each.threads for each in early) + TOLERANCE
    )


def measurement_text(measurement: Measurement) -> str:
    statuses, usage = statuses_text(measurement.statuses), measurement.usage
    return (
        f"minute {measurement.minute:4.1f}  {measurement.rate:7.1f} requests/s  p99 {measurement.p99_ms:6.1f} ms  "
        f"{usage.memory / 1e6:6.1f} MB  {usage.files} files  {usage.threads} threads  ({statuses})"
    )


def soak_text(report: SoakReport) -> str:
    usages = [each.usage for each in report.measurements[int(WARM_UP * len(report.measurements)) :]]
    spans = (
        ("MB", [round(each.memory / 1e6, 1) for each in usages]),
        ("files", [each.files for each in usages]),
        ("threads", [each.threads for each in usages]),
    )
    resources = ", ".join(f"{name} {numbers[0]} at first, {max(numbers)} at most" for name, numbers in spans)
    header = report.header(f"{report.model}, {report.minutes:g} minutes, {CLIENTS} connections")
    return f"{header}\nafter warm-up: {resources}\n{'flat' if report.flat else 'not flat: a resource leaks'}"
