"""`vitrail bench soak`: our server under load for long; what it holds must not grow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Literal

from vitrail.bench.core.machine import Machine, this_machine
from vitrail.bench.serve.client import message, run_load, write_messages
from vitrail.bench.serve.load import LoadSpec
from vitrail.bench.serve.processes import ResourceUsage, resource_usage
from vitrail.bench.serve.samples import percentile_ms, status_counts
from vitrail.bench.serve.servers import VITRAIL, Running, started
from vitrail.bench.serve.uploads import uploads
from vitrail.errors import UsageError
from vitrail.model_file.classifier import Classifier

CLIENTS = 16
SETTLED = 0.2  # of the time, after which what is held counts
GROWTH = 1.05  # of memory, at most, from the first half of that time to the second
SPARE = 2  # threads and files by which a moment may differ from another

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Look:
    """One stretch of load, and what was held after it, with all connections closed."""

    minute: float
    rate: float
    p99_ms: float
    statuses: dict[int, int]
    usage: ResourceUsage


@dataclass(frozen=True)
class Soak:
    """All looks, and whether what is held stays flat."""

    model: str
    minutes: float
    machine: Machine
    date: str
    looks: tuple[Look, ...]
    flat: bool
    kind: Literal["soak"] = "soak"


def soak(model: str, minutes: float, stretch: float, seed: int, progress: Progress) -> Soak:
    """Stretches of load, with a bad upload among the good ones, until the time is over."""
    if not 0 < stretch < 10 * minutes:  # 60 / 6: at least six stretches
        raise UsageError("a soak is at least six stretches long")
    looks: list[Look] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        messages = write_messages(requests(model, seed), folder / "messages")
        with started(VITRAIL, Path(model), folder, folder / "server") as running:
            begin = monotonic()
            while (passed := (monotonic() - begin) / 60) < minutes:
                looks.append(look(running, messages, stretch, passed))
                progress(look_text(looks[-1]))
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Soak(model, minutes, this_machine(), date, tuple(looks), flat([each.usage for each in looks]))


def requests(model: str, seed: int) -> list[bytes]:
    """Good uploads, and one that is cut short: errors must not leak either."""
    good = uploads(Classifier(model, "cpu").card.input.size, seed)
    return [message(VITRAIL.path, *VITRAIL.request(upload)) for upload in [*good, good[0][: len(good[0]) // 2]]]


def look(running: Running, messages: list[str], seconds: float, minute: float) -> Look:
    spec = LoadSpec(running.port, messages, running.processes(), CLIENTS, seconds=seconds)
    load = run_load(spec)
    ends = status_counts(load.samples)
    return Look(
        minute, len(load.samples) / load.seconds, percentile_ms(99, load.samples), ends, resource_usage(running.pid)
    )


def flat(looks: Sequence[ResourceUsage]) -> bool:
    """Whether the later half, once the server has settled, holds no more than the earlier one."""
    settled = looks[int(SETTLED * len(looks)) :]
    early, late = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    return (
        max(each.memory for each in late) <= GROWTH * max(each.memory for each in early)
        and max(each.files for each in late) <= max(each.files for each in early) + SPARE
        and max(each.threads for each in late) <= max(each.threads for each in early) + SPARE
    )


def look_text(look: Look) -> str:
    ends = ", ".join(f"{status or 'no answer'}: {count}" for status, count in look.statuses.items())
    kept = look.usage
    return (
        f"minute {look.minute:4.1f}  {look.rate:7.1f} requests/s  p99 {look.p99_ms:6.1f} ms  "
        f"{kept.memory / 1e6:6.1f} MB  {kept.files} files  {kept.threads} threads  ({ends})"
    )


def soak_text(found: Soak) -> str:
    kept = [each.usage for each in found.looks[int(SETTLED * len(found.looks)) :]]
    spans = (
        ("MB", [round(each.memory / 1e6, 1) for each in kept]),
        ("files", [each.files for each in kept]),
        ("threads", [each.threads for each in kept]),
    )
    inside = ", ".join(f"{name} {numbers[0]} at first, {max(numbers)} at most" for name, numbers in spans)
    return (
        f"{found.model}, {found.minutes:g} minutes, {CLIENTS} connections\n"
        f"{found.machine.cpu}, {found.machine.cores} cores, {found.date}\n"
        f"once settled: {inside}\n{'flat' if found.flat else 'not flat: something is kept for ever'}"
    )
