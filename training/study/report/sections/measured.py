"""Measurements: means by contender and size, and every run."""

from statistics import fmean

from vitrail.plots.formatting import (
    bare,
    count,
    decimals,
    percent,
    percent_range,
    points,
    rate,
    seconds,
)
from vitrail.training.study.jobs import FinishedRun
from vitrail.training.study.report.blocks import Link, Row, Section, Table
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.statistics.findings import Contender, Point

MEASURES = (
    "Test error",
    "Seed std, points",
    "Fitted",
    "Train error",
    "Calibration error",
    "Collapsed",
    "Trained out",
    "Seeds",
)


def measured(results: StudyResults) -> Section:
    note = (
        "Means over seeds; 90 % intervals of the test error cover other test images and other seeds. “Train error” is "
        "the error on the training images: far below the test error, the model has memorised them. “Calibration "
        "error” is the expected calibration error before temperature scaling. “Seed std” is the standard deviation of "
        "these runs’ test errors; “fitted” is its estimate from all sizes, on which the intervals are based. Runs that "
        "collapsed, far above the others of their size, are left out of both, and count in every test error at the "
        "rate of all sizes. Seeds link to their runs."
    )
    by_size = (
        [sizes(results, one) for one in results.forecast.contenders] if results.has_curves else [one_size(results)]
    )
    return Section("measured", "Measurements", (note, *by_size, runs(results)))


def sizes(results: StudyResults, contender: Contender) -> Table:
    """Of one contender."""
    rows = [size_row(results, contender, point, count(point.images)) for point in contender.points]
    return Table(contender.name, ("Images", *MEASURES), tuple(rows))


def one_size(results: StudyResults) -> Table:
    """Of all contenders."""
    rows = [size_row(results, one, point, one.name) for one in results.forecast.contenders for point in one.points]
    return Table(f"With {count(results.forecast.sizes[0])} images", ("Contender", *MEASURES), tuple(rows))


def size_row(results: StudyResults, contender: Contender, point: Point, heading: str) -> Row:
    runs = results.runs(contender.name, point.images)
    errors = [done.result for done in runs if done.result]
    trained_out = "not measured" if not results.lengths else "limited by budget" if point.limited else "yes"
    seeds = tuple(Link(str(done.job.seed), done.job.name) for done in runs)
    return Row(
        (
            heading,
            percent_range(point.error, point.low, point.high),
            "–" if point.measured_spread is None else points(point.measured_spread, 2),
            points(point.seed_spread, 2),
            percent(fmean(result.train_error for result in errors)),
            percent(fmean(result.calibration_error for result in errors)),
            count(point.collapsed),
            trained_out,
            seeds,
        )
    )


def runs(results: StudyResults) -> Table:
    """Every reported run, by the name of its folder."""
    head = ("Run", "Training images", "Validation images", "Rate", "Best step", "Train error", "Validation error",
            "Test error", "Calibration error", "Time")  # fmt: skip
    return Table("Every run", head, tuple(run_row(done) for done in results.reported), folded=True)


def run_row(done: FinishedRun) -> Row:
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
