"""Columns and ratios as text: what every table of measurements is made of."""

from collections.abc import Sequence

from vitrail.bench.core.rounds import MedianInterval
from vitrail.tasks.intervals import Estimate


def interval_text(ratio: MedianInterval | Estimate) -> str:
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest word: the first and the last to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = (
        "  ".join(
            word.ljust(width) if place in (0, last) else word.rjust(width)
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
