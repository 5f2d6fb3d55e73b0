"""The report as tables."""

from collections.abc import Sequence

from vitrail.bench.core.report import absent_text
from vitrail.bench.core.rounds import MedianInterval
from vitrail.bench.core.tables import background_text, interval_text, rounds_text, text_table
from vitrail.bench.serve.attack import MAX_GROWTH, MAX_RATIO, PERCENTILE, AttackResult
from vitrail.bench.serve.bare import NAME as BARE
from vitrail.bench.serve.measure import ServeReport
from vitrail.bench.serve.overload import Overload
from vitrail.bench.serve.processes import ResourceUsage
from vitrail.bench.serve.samples import statuses_text
from vitrail.bench.serve.servers import OURS
from vitrail.bench.serve.start import Start
from vitrail.bench.serve.under_load import LoadResults, Result

HEAD = ("", "requests/s", "p50 ms", "p99 ms", "CPU ms", "failed", "rate ×", "p99 ×", "CPU ×")
ATTACK_HEAD = ("", "+ MB", f"p{PERCENTILE} ms alone", f"p{PERCENTILE} ms attacked", "ratio", "failed")


def report_text(report: ServeReport) -> str:
    parts = [header(report), *(load_text(measured, report.bare_batch) for measured in report.load)]
    if report.load:
        parts.append(load_footer(report))
    if report.absent:
        parts.append(absent_text(report.absent))
    if report.overload:
        parts.append(overload_text(report.overload))
    if report.start:
        parts.append(start_text(report.start))
    if report.attacks:
        parts.append(attack_text(report.attacks))
    return "\n\n".join(parts)


def header(report: ServeReport) -> str:
    subject = report.subject
    return report.header(
        f"{report.plan.model}: {subject.parameters:,} parameters, canvas {subject.canvas}, "
        f"uploads of {subject.upload_bytes:,} bytes",
        cores="cores for servers and clients together",
    )


def load_text(measured: LoadResults, bare_batch: int | None) -> str:
    rows = (load_row(result, bare_batch) for result in measured.results)
    connections = f"{measured.connections} connection{'s' if measured.connections > 1 else ''}"
    return f"{connections}{background_text(measured.background_load)}\n{text_table([HEAD, *rows])}"


def load_row(result: Result, bare_batch: int | None) -> tuple[str, ...]:
    name = f"{BARE}, batches of {bare_batch}" if result.name == BARE else result.name
    measured = (
        f"{result.rate.value:.1f}",
        milliseconds(result.p50_ms),
        milliseconds(result.p99_ms),
        f"{result.cpu_ms.value:.2f}",
        str(result.failed),
    )
    ratios: tuple[MedianInterval | None, ...] = (result.speedup, result.p99_ratio, result.cpu_ratio)
    return (name, *measured, *("1" if result.name == OURS else interval_text(each) for each in ratios))


def milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def load_footer(report: ServeReport) -> str:
    coverage = report.load[0].results[0].rate.coverage
    return (
        f"{rounds_text(report.plan.rounds, coverage)} The last three columns are {OURS}'s number over this one's.\n\n"
        f"idle after the load\n{text_table(usage_rows(report.usage))}"
    )


def usage_rows(usage: dict[str, ResourceUsage]) -> list[tuple[str, ...]]:
    rows = [
        (name, f"{each.memory / 1e6:.0f}", str(each.processes), str(each.threads), str(each.files))
        for name, each in usage.items()
    ]
    return [("", "MB", "processes", "threads", "files"), *rows]


def overload_text(overload: Overload) -> str:
    recovery = overload.recovery_seconds
    return (
        f"capacity {overload.capacity:.1f} requests/s; requests arrive at random (Poisson)\n"
        f"at 80 %   p50 {overload.busy_p50_ms:.1f} ms, p99 {overload.busy_p99_ms:.1f} ms, "
        f"{overload.busy_failed} failed\n"
        f"at 200 %  p50 {overload.p50_ms:.1f} ms, p99 {overload.p99_ms:.1f} ms of those accepted: "
        f"{interval_text(overload.p99_ratio)} × the p99 at 80 %\n"
        f"          goodput {overload.goodput:.1f}/s: {interval_text(overload.goodput_share)} of the capacity "
        f"({statuses_text(overload.statuses)})\n"
        f"{'not recovered' if recovery is None else f'recovered within {recovery:.1f} s'}"
    )


def start_text(start: Start) -> str:
    extra, rest = start.extra_seconds, start.at_rest
    return (
        f"ready after {start.vitrail_seconds.value:.2f} s, a BentoML service without a model after "
        f"{start.empty_seconds.value:.2f} s: {extra.value:.2f} [{extra.low:.2f}, {extra.high:.2f}] s more\n"
        f"ready again {start.restart_seconds.value:.2f} s after kill -9 of its worker: "
        f"{interval_text(start.restart_ratio)} × a start\n"
        f"idle after 1,000 requests: {rest.memory / 1e6:.0f} MB in {rest.processes} processes, "
        f"{rest.threads} threads, {rest.files} files"
    )


def attack_text(results: Sequence[AttackResult]) -> str:
    within = sum(each.within_bounds for each in results)
    return (
        f"a healthy client beside one attacker\n{text_table([ATTACK_HEAD, *map(attack_row, results)])}\n"
        f"{within} of {len(results)} within + {MAX_GROWTH / 1e6:g} MB and {MAX_RATIO:g} × its own p{PERCENTILE}"
    )


def attack_row(result: AttackResult) -> tuple[str, ...]:
    return (
        result.name,
        f"{result.growth / 1e6:.0f}",
        milliseconds(result.baseline_p98_ms),
        milliseconds(result.attacked_p98_ms),
        interval_text(result.p98_ratio),
        str(result.failed),
    )
