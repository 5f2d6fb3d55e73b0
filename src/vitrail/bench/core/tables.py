"""Tables of measurements as text."""

from collections.abc import Sequence

from vitrail.bench.core.rounds import MedianInterval
from vitrail.tasks.intervals import Estimate

Rows = Sequence[Sequence[str]]


def interval_text(estimate: MedianInterval | Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def background_text(cores: float | None) -> str:
    """The load of other programs, to follow a heading."""
    return "" if cores is None else f", background load {cores:.1f} cores"


def rounds_text(rounds: int, coverage: float) -> str:
    return (
        f"Medians of {rounds} alternating rounds. Ratios are taken within a round; their intervals contain the median "
        f"with {coverage:.1%}."
    )


def text_table(rows: Rows) -> str:
    """Aligned columns: the first and the last to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = (
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(rows: Rows) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))
