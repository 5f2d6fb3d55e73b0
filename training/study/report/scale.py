"""Axes: from labelled images and errors to places on a drawing, and which of them to write down."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import log10

from vitrail.training.study.report.formatting import count

Place = Callable[[float], float]


@dataclass(frozen=True)
class Axis:
    """From a value to its place in 0…1, and the values that are written, with their words."""

    place: Place
    ticks: tuple[tuple[float, str], ...]


def images_axis(sizes: Iterable[int], end: float, room: float) -> Axis:
    """Logarithmic, ticks at the sizes that were measured and at the end; `room` is the share that a label takes."""
    values = [float(size) for size in sizes]
    first = values[0]
    span = log10(end / first)

    def place(value: float) -> float:
        return log10(value / first) / span

    last = values[-1]
    wanted = [last, first, *((end,) if end > last else ()), *values[1:-1]]
    kept: list[float] = []
    for value in wanted:
        if all(abs(place(value) - place(other)) >= room for other in kept):
            kept.append(value)
    return Axis(place, tuple((value, count(rounded(value) if value > last else value)) for value in sorted(kept)))


def rounded(value: float) -> float:
    """Two digits that count."""
    return float(f"{value:.2g}")


def error_axis(low: float, high: float) -> Axis:
    """Logarithmic; what lies below the lowest place is drawn there."""
    span = log10(high / low)

    def place(error: float) -> float:
        return max(log10(max(error, low) / low) / span, 0.0)

    units = (1, 2, 5) if span > 1.3 else (1, 2, 3, 5, 7) if span > 0.6 else range(1, 10)
    marks = [unit * 10.0**power for power in range(-6, 1) for unit in units]
    ticks = [mark for mark in marks if low * 0.999 <= mark <= high * 1.001]
    return Axis(place, tuple((mark, share_word(mark)) for mark in ticks))


def accuracy_axis(low: float, high: float) -> Axis:
    """The share that is right, linear, in errors: from an error of `high` at the bottom to one of `low` at the top."""
    step = tick_step(high - low)
    bottom = 1 - high

    def place(error: float) -> float:
        return (1 - error - bottom) / (high - low)

    first = int(-(-bottom // step))
    marks = [index * step for index in range(first, round(1 / step) + 1) if index * step <= 1 - low + step / 100]
    return Axis(place, tuple((1 - mark, share_word(mark)) for mark in marks))


def tick_step(span: float) -> float:
    """1, 2 or 5 of some power of ten: four to nine ticks over a span."""
    power = 10.0 ** int(log10(span) // 1)
    return next(unit * power for unit in (0.1, 0.2, 0.5, 1, 2) if span / (unit * power) <= 7)


def share_word(share: float) -> str:
    return f"{100 * share:.4g} %"
