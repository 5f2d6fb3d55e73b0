"""The report as tables, for a terminal or for a page of documentation."""

from collections.abc import Callable

from vitrail.bench.attention.cases import PARTS, title
from vitrail.bench.attention.distance import SHOWN, VECTORS
from vitrail.bench.attention.measure import MAX_BYTES, REFERENCE, AttentionReport, LeftOut, PartResults
from vitrail.bench.core.tables import Rows, background_text, interval_text, markdown_table, text_table


def report_text(report: AttentionReport, markdown: bool = False) -> str:
    """Header, a table for each part, and what was left out."""
    draw = markdown_table if markdown else text_table
    parts = [part_text(each, report, draw) for each in report.measured]
    return "\n\n".join([header(report), *parts, gradients_text(report, draw), footer(report)])


def header(report: AttentionReport) -> str:
    threads = "1 thread" if report.plan.threads == 1 else f"{report.plan.threads} threads"
    return report.header(
        f"forward and backward of 1 image, width {report.width}, {report.heads} heads, float32, {threads}"
    )


def part_text(measured: PartResults, report: AttentionReport, draw: Callable[[Rows], str]) -> str:
    parts = [
        f"{measured.part}: {PARTS[measured.part]}{background_text(measured.background_load)}",
        draw(times(measured, report)),
        draw(memory(measured, report)),
    ]
    if measured.left_out:
        parts.append("\n".join(map(left_out_text, measured.left_out)))
    return "\n\n".join(parts)


def left_out_text(left_out: LeftOut) -> str:
    needed = f"{left_out.bytes / 2**30:,.1f} GiB, more than {MAX_BYTES / 2**30:g}"
    return f"not measured: {left_out.mechanism} with {left_out.vectors:,} vectors, which might take {needed}"


def times(measured: PartResults, report: AttentionReport) -> Rows:
    """One row a mechanism: milliseconds for every size, the slope, and the ratio at the largest."""
    sizes = sizes_of(report)
    largest = sizes[-1]
    table = [["", *(f"ms, N={size}" for size in sizes), "slope of time", f"× as fast as {REFERENCE}, N={largest}"]]
    for mechanism in report.plan.mechanisms:
        results = [measured.result(mechanism, size) for size in sizes]
        last = results[-1]
        ratio = "1" if mechanism == REFERENCE else interval_text(last.speedup if last else None)
        milliseconds = (number_text(each.milliseconds.value) if each else "" for each in results)
        table.append([title(mechanism), *milliseconds, interval_text(measured.growth_of(mechanism).time), ratio])
    return table


def memory(measured: PartResults, report: AttentionReport) -> Rows:
    """One row a mechanism: peak MiB for every size, and the slope."""
    sizes = sizes_of(report)
    table = [["", *(f"MiB, N={size}" for size in sizes), "slope of memory"]]
    for mechanism in report.plan.mechanisms:
        results = (measured.result(mechanism, size) for size in sizes)
        mebibytes = (number_text(each.peak_bytes / 2**20) if each else "" for each in results)
        growth = measured.growth_of(mechanism).memory
        table.append([title(mechanism), *mebibytes, "" if growth is None else f"{growth:.2f}"])
    return table


def gradients_text(report: AttentionReport, draw: Callable[[Rows], str]) -> str:
    """One row a mechanism: the gradient at some distances."""
    table = [["", *(f"distance {distance}" for distance in SHOWN)]]
    for each in report.gradients:
        table.append([title(each.mechanism), *(f"{each.norms[distance]:.1e}" for distance in SHOWN)])
    return (
        f"gradient of the last of {VECTORS} outputs in a row with respect to a vector so far before it, "
        f"at the start of training\n\n{draw(table)}"
    )


def sizes_of(report: AttentionReport) -> list[int]:
    return [side * side for side in report.plan.sides]


def number_text(number: float) -> str:
    """Three significant digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def footer(report: AttentionReport) -> str:
    coverage = report.measured[0].results[0].milliseconds.coverage
    return (
        f"Medians of {report.plan.rounds} alternating rounds. Slopes of time and ratios are taken within a round; "
        f"their intervals contain the median with {coverage:.1%}.\nMemory: the peak beside inputs and weights, by "
        "torch's profiler."
    )
