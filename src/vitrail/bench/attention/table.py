"""What was measured of attention as tables, for a terminal or for a page of documentation."""

from collections.abc import Callable, Sequence

from vitrail.bench.attention.cases import PARTS, title
from vitrail.bench.attention.measure import LeftOut, Measured, Report
from vitrail.bench.attention.memory import MAX_BYTES
from vitrail.bench.attention.plan import REFERENCE
from vitrail.bench.core.rounds import MedianInterval
from vitrail.bench.core.tables import interval_text, text_table

Rows = Sequence[Sequence[str]]


def report_text(report: Report, markdown: bool = False) -> str:
    """Head, a table for each part, and what was left out."""
    drawn = markdown_table if markdown else text_table
    return "\n\n".join([head(report), *(part_text(each, report, drawn) for each in report.measured), foot(report)])


def head(report: Report) -> str:
    plan, machine = report.plan, report.machine
    threads = "1 thread" if plan.threads == 1 else f"{plan.threads} threads"
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"forward and backward of 1 image, width {report.width}, {report.heads} heads, float32, {threads}\n"
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB\n"
        f"{report.date}\n"
        f"{versions}"
    )


def part_text(measured: Measured, report: Report, drawn: Callable[[Rows], str]) -> str:
    others = measured.background_load
    beside = "" if others is None else f", while other programs held {others:.1f} cores"
    parts = [
        f"{measured.part}: {PARTS[measured.part]}{beside}",
        drawn(times(measured, report)),
        drawn(memory(measured, report)),
    ]
    if measured.left_out:
        parts.append("\n".join(map(left_out_text, measured.left_out)))
    return "\n\n".join(parts)


def left_out_text(left_out: LeftOut) -> str:
    needed = f"{left_out.bytes / 2**30:,.1f} GiB, more than {MAX_BYTES / 2**30:g}"
    return f"not measured: {left_out.mechanism} with {left_out.vectors:,} vectors, which might take {needed}"


def times(measured: Measured, report: Report) -> Rows:
    """One row a mechanism: milliseconds for every size, the slope, and the ratio at the largest."""
    sizes = sizes_of(report)
    largest = sizes[-1]
    table = [["", *(f"ms, N={size}" for size in sizes), "slope of time", f"× as fast as {REFERENCE}, N={largest}"]]
    for mechanism in report.plan.mechanisms:
        found = [measured.result(mechanism, size) for size in sizes]
        ratio = "1" if mechanism == REFERENCE else interval(found[-1].speedup if found[-1] else None)
        milliseconds = (figure(each.milliseconds.value) if each else "" for each in found)
        table.append([title(mechanism), *milliseconds, interval(measured.growth_of(mechanism).time), ratio])
    return table


def memory(measured: Measured, report: Report) -> Rows:
    """One row a mechanism: the most MiB for every size, and the slope."""
    sizes = sizes_of(report)
    table = [["", *(f"MiB, N={size}" for size in sizes), "slope of memory"]]
    for mechanism in report.plan.mechanisms:
        found = (measured.result(mechanism, size) for size in sizes)
        mebibytes = (figure(each.peak_bytes / 2**20) if each else "" for each in found)
        growth = measured.growth_of(mechanism).memory
        table.append([title(mechanism), *mebibytes, "" if growth is None else f"{growth:.2f}"])
    return table


def sizes_of(report: Report) -> list[int]:
    return [side * side for side in report.plan.sides]


def interval(found: MedianInterval | None) -> str:
    return "" if found is None else interval_text(found)


def figure(number: float) -> str:
    """Three digits that count, and none that do not."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def markdown_table(table: Rows) -> str:
    heading, *others = table
    lines = [heading, ["---"] * len(heading), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def foot(report: Report) -> str:
    sure = report.measured[0].results[0].milliseconds.coverage
    return (
        f"Medians of {report.plan.rounds} rounds in which all take turns. Slopes of time and ratios are taken within a "
        f"round; their intervals hold the median with {sure:.1%}.\nMemory: the most that is held at once beside inputs "
        "and weights, by torch's profiler."
    )
