"""The learning curves as an image for papers and READMEs, PNG and SVG."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

from vitrail.training.study.report.frame import extent
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.scale import error_axis, images_axis
from vitrail.training.study.report.styles import Style, style
from vitrail.training.study.statistics.findings import Contender, Forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(results: StudyResults, kind: Literal["png", "svg"]) -> bytes:
    """Test error on two logarithmic axes; the file contains no date and no random identifiers."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    forecast = results.forecast
    with rc_context({"svg.hashsalt": "vitrail", "text.parse_math": False}):
        figure = Figure(figsize=(7.6, 4.6), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        low, high = extent(results)
        axes.set(xscale="log", yscale="log", xlabel="labelled images", ylabel="test error, 90 % intervals")
        axes.set(xlim=(0.93 * forecast.sizes[0], 1.02 * forecast.grid[-1]), ylim=(low, high))
        axes.axvspan(forecast.sizes[-1], 2 * forecast.grid[-1], color="#000000", alpha=0.05, lw=0)
        for index, one in enumerate(forecast.contenders):
            draw(axes, results, one, style(index))
        set_ticks(axes, forecast, low, high)
        axes.legend(frameon=False, loc="lower left", title="dashed: forecast")
        file = BytesIO()
        figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return file.getvalue()


def draw(axes: "Axes", results: StudyResults, one: Contender, own: Style) -> None:
    grid = results.forecast.grid[: len(one.curve.error)] if one.curve else ()
    sizes = [point.images for point in one.points]
    if one.curve:
        far = [index for index, images in enumerate(grid) if images >= sizes[-1]] or [len(grid) - 1]
        near = slice(0, far[0] + 1)
        axes.fill_between(grid, one.curve.low, one.curve.high, color=own.light, alpha=0.14, lw=0)
        axes.plot(grid[near], one.curve.error[near], color=own.light)
        axes.plot(grid[far[0] :], one.curve.error[far[0] :], color=own.light, ls=(0, dashes(own)))
    runs = [(done.job.size, done.result.test_error) for size in sizes for done in results.runs(one.name, size)
            if done.result]  # fmt: skip
    axes.plot(*zip(*runs, strict=True), ls="", marker=own.marker, ms=3.5, mfc="none", color=own.light, alpha=0.7)
    for is_limited in (False, True):
        points = [point for point in one.points if point.limited == is_limited]
        spread = [  # with hardly an error, the interval may lie above it
            [max(point.error - point.low, 0.0) for point in points],
            [point.high - point.error for point in points],
        ]
        style: dict[str, Any] = {"mfc": "white"} if is_limited else {"label": one.name}
        axes.errorbar(
            [point.images for point in points],
            [point.error for point in points],
            spread,
            ls="",
            marker=own.marker,
            capsize=3,
            color=own.light,
            **style,
        )


def dashes(own: Style) -> tuple[float, ...]:
    return tuple(float(part) / 2 for part in own.dash.split())


def set_ticks(axes: "Axes", forecast: Forecast, low: float, high: float) -> None:
    """The ticks of the chart on the page."""
    across, up = images_axis(forecast.sizes, forecast.grid[-1], 0.09), error_axis(low, high)
    axes.set_xticks([value for value, _ in across.ticks], labels=[label for _, label in across.ticks])
    axes.set_yticks([value for value, _ in up.ticks], labels=[label for _, label in up.ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
