"""Axes: from labelled images and errors to positions on a chart, and their ticks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import log10

from vitrail.plots.formatting import count

Position = Callable[[float], float]


@dataclass(frozen=True)
class Axis:
    """From a value to its position in 0…1, and ticks with their labels."""

    position: Position
    ticks: tuple[tuple[float, str], ...]


def images_axis(sizes: Iterable[int], end: float, room: float) -> Axis:
    """Logarithmic, with ticks at the measured sizes and at the end; `room` is the width of a label, as a share."""
    values = [float(size) for size in sizes]
    first = values[0]
    span = log10(end / first)

    def position(value: float) -> float:
        return log10(value / first) / span

    last = values[-1]
    by_priority = [last, first, *((end,) if end > last else ()), *values[1:-1]]
    ticks: list[float] = []
    for value in by_priority:
        if all(abs(position(value) - position(other)) >= room for other in ticks):
            ticks.append(value)
    return Axis(position, tuple((value, count(rounded(value) if value > last else value)) for value in sorted(ticks)))


def rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def error_axis(low: float, high: float) -> Axis:
    """Logarithmic; errors below `low` are drawn at `low`."""
    span = log10(high / low)

    def position(error: float) -> float:
        return max(log10(max(error, low) / low) / span, 0.0)

    units = (1, 2, 5) if span > 1.3 else (1, 2, 3, 5, 7) if span > 0.6 else range(1, 10)
    marks = [unit * 10.0**power for power in range(-6, 1) for unit in units]
    ticks = [mark for mark in marks if low * 0.999 <= mark <= high * 1.001]
    return Axis(position, tuple((mark, percent_label(mark)) for mark in ticks))


def accuracy_axis(low: float, high: float) -> Axis:
    """Linear in accuracy, given errors: from an error of `high` at the bottom to one of `low` at the top."""
    step = tick_step(high - low)
    bottom = 1 - high

    def position(error: float) -> float:
        return (1 - error - bottom) / (high - low)

    first = int(-(-bottom // step))
    marks = [index * step for index in range(first, round(1 / step) + 1) if index * step <= 1 - low + step / 100]
    return Axis(position, tuple((1 - mark, percent_label(mark)) for mark in marks))


def tick_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, for four to nine ticks."""
    power = 10.0 ** int(log10(span) // 1)
    return next(unit * power for unit in (0.1, 0.2, 0.5, 1, 2) if span / (unit * power) <= 7)


def percent_label(share: float) -> str:
    return f"{100 * share:.4g} %"
