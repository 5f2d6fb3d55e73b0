"""Time and memory against the number of vectors, both on logarithmic axes."""

from itertools import cycle
from pathlib import Path

from vitrail.bench.attention.cases import title
from vitrail.bench.attention.measure import AttentionReport, Growth, PartResults, Result

COLOURS = ("#181a20", "#c1440e", "#e0a030", "#3b7a57", "#1d4e89", "#4f9fd0", "#7b4b94", "#8a8f99", "#d06090")


def plot(report: AttentionReport, path: Path) -> None:
    """The first part, the mechanism alone: milliseconds on the left, MiB on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measured = report.measured[0]
    figure, both = pyplot.subplots(1, 2, figsize=(13, 4.6), layout="constrained")
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
