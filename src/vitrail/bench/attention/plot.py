"""Time and memory against the number of vectors, and gradients against the distance, on logarithmic axes."""

from itertools import cycle
from pathlib import Path

from vitrail.bench.attention.cases import title
from vitrail.bench.attention.measure import AttentionReport, Growth, PartResults, Result

COLOURS = (
    *("#181a20", "#c1440e", "#e0a030", "#3b7a57", "#1d4e89", "#4f9fd0", "#7b4b94", "#8a8f99", "#d06090"),
    *("#6b8e23", "#a0522d", "#00a0a0"),
)


def plot(report: AttentionReport, path: Path) -> None:
    """The first part, the mechanism alone: milliseconds, MiB; and the gradients of the whole module."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measured = report.measured[0]
    figure, (*both, right) = pyplot.subplots(1, 3, figsize=(19, 4.6), layout="constrained")
    sizes = [side * side for side in report.plan.sides]
    for axes, label, value in zip(both, ("milliseconds", "peak MiB"), (milliseconds, mebibytes), strict=True):
        for growth, colour in zip(measured.growth, cycle(COLOURS), strict=False):
            own = of_mechanism(measured, growth.mechanism)
            name = f"{title(growth.mechanism)}: {slope_of(growth, value is milliseconds)}"
            axes.plot(growth.vectors, [value(each) for each in own], marker="o", markersize=4, color=colour, label=name)
        axes.set(xscale="log", yscale="log", xlabel="vectors", ylabel=label)
        axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
        axes.xaxis.set_minor_formatter("")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8, title="slope", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for each, colour in zip(report.gradients, cycle(COLOURS), strict=False):
        right.plot(range(len(each.norms)), [norm or None for norm in each.norms], color=colour)
    right.set(yscale="log", ylim=(1e-8, None), xlabel="distance", ylabel="gradient at the start of training")
    right.grid(alpha=0.3)
    figure.suptitle("Forward and backward of attention alone, width 192, 3 heads")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def milliseconds(result: Result) -> float:
    return result.milliseconds.value


def mebibytes(result: Result) -> float:
    return result.peak_bytes / 2**20


def of_mechanism(measured: PartResults, mechanism: str) -> list[Result]:
    return [each for each in measured.results if each.mechanism == mechanism]


def slope_of(growth: Growth, of_time: bool) -> str:
    value = growth.time.value if of_time and growth.time else growth.memory
    return "one size" if value is None else f"{value:.2f}"
