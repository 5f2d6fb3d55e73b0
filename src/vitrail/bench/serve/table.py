"""What was measured of servers, as tables that people read."""

from collections.abc import Iterable, Sequence

from vitrail.bench.core.rounds import MedianInterval
from vitrail.bench.core.tables import interval_text, text_table
from vitrail.bench.serve.attack import MAX_GROWTH, MAX_RATIO, PERCENTILE, AttackResult
from vitrail.bench.serve.bare import NAME as BARE
from vitrail.bench.serve.measure import Report
from vitrail.bench.serve.overload import Overload
from vitrail.bench.serve.processes import ResourceUsage
from vitrail.bench.serve.servers import OURS
from vitrail.bench.serve.start import Start
from vitrail.bench.serve.under_load import Measured, Result

HEAD = ("", "requests/s", "p50 ms", "p99 ms", "CPU ms", "failed", "rate ×", "p99 ×", "CPU ×")
ATTACK_HEAD = ("", "+ MB", f"p{PERCENTILE} ms alone", f"p{PERCENTILE} ms beside", "ratio", "failed")


def report_text(report: Report) -> str:
    parts = [head(report), *(load_text(measured, report.bare_batch) for measured in report.load)]
    if report.load:
        parts.append(foot(report))
    if report.absent:
        parts.append("\n".join(f"not measured: {each.name}: {each.reason}" for each in report.absent))
    if report.overload:
        parts.append(overload_text(report.overload))
    if report.start:
        parts.append(start_text(report.start))
    if report.attacks:
        parts.append(attack_text(report.attacks))
    return "\n\n".join(parts)


def head(report: Report) -> str:
    machine, subject = report.machine, report.subject
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"{report.plan.model}: {subject.parameters:,} parameters, canvas {subject.canvas}, "
        f"uploads of {subject.upload_bytes:,} bytes\n"
        f"{machine.cpu}, {machine.cores} cores for servers and callers together, {machine.memory_gib} GiB\n"
        f"{report.date}\n"
        f"{versions}"
    )


def load_text(measured: Measured, bare_batch: int | None) -> str:
    rows = (load_row(result, bare_batch) for result in measured.results)
    connections = f"{measured.connections} connection{'s' if measured.connections > 1 else ''}"
    beside = f"while other programs held {measured.background_load:.1f} cores"
    return f"{connections}, {beside}\n{text_table([HEAD, *rows])}"


def load_row(result: Result, bare_batch: int | None) -> tuple[str, ...]:
    name = f"{BARE}, batches of {bare_batch}" if result.name == BARE else result.name
    measured = (
        f"{result.rate.value:.1f}",
        milliseconds(result.p50_ms),
        milliseconds(result.p99_ms),
        f"{result.cpu_ms.value:.2f}",
        str(result.failed),
    )
    ratios = (result.speedup, result.p99_ratio, result.cpu_ratio)
    return (name, *measured, *("1" if result.name == OURS else ratio(each) for each in ratios))


def milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def ratio(value: MedianInterval | None) -> str:
    return "" if value is None else interval_text(value)


def foot(report: Report) -> str:
    sure = report.load[0].results[0].rate.coverage
    memory = text_table(rows_of_held(report.usage.items()))
    return (
        f"Medians of {report.plan.rounds} rounds in which all take turns. The last three columns are {OURS}'s number "
        f"over this one's, taken within a round; their intervals hold the median with {sure:.1%}.\n\n"
        f"idle after the load\n{memory}"
    )


def rows_of_held(usage: Iterable[tuple[str, ResourceUsage]]) -> list[tuple[str, ...]]:
    rows = [
        (name, f"{each.memory / 1e6:.0f}", str(each.processes), str(each.threads), str(each.files))
        for name, each in usage
    ]
    return [("", "MB", "processes", "threads", "files"), *rows]


def overload_text(found: Overload) -> str:
    ends = ", ".join(f"{status or 'no answer'}: {count}" for status, count in found.statuses.items())
    back = "not at all" if found.recovery_seconds is None else f"within {found.recovery_seconds:.1f} s"
    return (
        f"capacity {found.capacity:.1f} requests/s; calls at random moments\n"
        f"at 80 %   p50 {found.busy_p50_ms:.1f} ms, p99 {found.busy_p99_ms:.1f} ms, {found.busy_failed} failed\n"
        f"at 200 %  p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms of those accepted: "
        f"{interval_text(found.p99_ratio)} × the p99 at 80 %\n"
        f"          {found.goodput:.1f} good answers/s: {interval_text(found.goodput_share)} of the capacity ({ends})\n"
        f"recovered {back}"
    )


def start_text(found: Start) -> str:
    more, rest = found.extra_seconds, found.at_rest
    again = found.restart_seconds.value
    return (
        f"ready after {found.vitrail_seconds.value:.2f} s, a BentoML service without a model after "
        f"{found.empty_seconds.value:.2f} s: {more.value:.2f} [{more.low:.2f}, {more.high:.2f}] s more\n"
        f"ready again {again:.2f} s after kill -9 of its worker: {interval_text(found.restart_ratio)} × a start\n"
        f"idle after 1,000 requests: {rest.memory / 1e6:.0f} MB in {rest.processes} processes, "
        f"{rest.threads} threads, {rest.files} files"
    )


def attack_text(found: Sequence[AttackResult]) -> str:
    rows = [attack_row(each) for each in found]
    kept = sum(each.within_bounds for each in found)
    return (
        f"a healthy caller beside one attacker\n{text_table([ATTACK_HEAD, *rows])}\n"
        f"{kept} of {len(found)} within + {MAX_GROWTH / 1e6:g} MB and {MAX_RATIO:g} × its own p{PERCENTILE}"
    )


def attack_row(found: AttackResult) -> tuple[str, ...]:
    times = (
        milliseconds(found.baseline_p98_ms),
        milliseconds(found.attacked_p98_ms),
        interval_text(found.p98_ratio),
    )
    return (found.name, f"{found.growth / 1e6:.0f}", *times, str(found.failed))
