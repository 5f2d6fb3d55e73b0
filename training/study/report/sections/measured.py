"""What was measured: means by contender and size, and every run by itself."""

from statistics import fmean

from vitrail.training.study.jobs import Done
from vitrail.training.study.report.blocks import Link, Row, Section, Table
from vitrail.training.study.report.formatting import (
    bare,
    count,
    decimals,
    percent,
    percent_range,
    points,
    rate,
    seconds,
)
from vitrail.training.study.report.results import Found
from vitrail.training.study.statistics.findings import Point


def measured(found: Found) -> Section:
    said = (
        "Means over seeds; test error with its 90 % interval, over other test images and other seeds alike. "
        "“Train error” is the share of its own training images that the chosen checkpoint gets wrong: far below the "
        "test error, a model has learnt them by heart. “Calibration error” is how far stated probabilities lie from "
        "how often they are right, on average, before any temperature is fitted. “Seeds apart” is the standard "
        "deviation of these runs’ test errors, and “by the law” what one law for all sizes and contenders says of it, "
        "from which intervals are made; where the first is far above the second, they may be too narrow. "
        "Seeds lead to their runs."
    )
    return Section("measured", "What was measured", (said, *(sizes(found, name) for name in found.names), runs(found)))


def sizes(found: Found, name: str) -> Table:
    head = (
        "Images",
        "Test error",
        "Seeds apart, points",
        "By the law",
        "Train error",
        "Calibration error",
        "Seeds",
    )
    contender = next(one for one in found.forecast.contenders if one.name == name)
    rows = [size_row(point, found.runs(name, point.images)) for point in contender.points]
    return Table(name, head, tuple(rows))


def size_row(point: Point, runs: list[Done]) -> Row:
    results = [done.result for done in runs if done.result]
    seeds = tuple(Link(str(done.job.seed), done.job.name) for done in runs)
    return Row(
        (
            count(point.images),
            percent_range(point.error, point.low, point.high),
            "–" if point.measured_spread is None else points(point.measured_spread, 2),
            points(point.seed_spread, 2),
            percent(fmean(result.train_error for result in results)),
            percent(fmean(result.calibration_error for result in results)),
            seeds,
        )
    )


def runs(found: Found) -> Table:
    """Every reported run; its name is that of its folder."""
    head = ("Run", "Images to learn", "to validate", "Rate", "Best step", "Train error", "Validation error",
            "Test error", "Calibration error", "Time")  # fmt: skip
    return Table("Every run", head, tuple(run_row(done) for done in found.reported), folded=True)


def run_row(done: Done) -> Row:
    result, timing = done.result, done.timing
    assert result is not None
    assert timing is not None
    return Row(
        (
            (Link(done.job.name, done.job.name, on_page=False),),
            count(result.train_images),
            count(result.val_images),
            rate(done.job.rate),
            count(result.best_step),
            percent(result.train_error),
            percent(result.val_error),
            f"{bare(result.test_error, max(2, decimals(result.test_error)))} %",
            percent(result.calibration_error),
            seconds(timing.seconds),
        ),
        run=done.job.name,
    )
