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
from vitrail.training.study.statistics.findings import Point


def measured(results: StudyResults) -> Section:
    note = (
        "Means over seeds; 90 % intervals of the test error cover other test images and other seeds. “Train error” is "
        "the error on the training images: far below the test error, the model has memorised them. “Calibration "
        "error” is the expected calibration error before temperature scaling. “Seed std” is the standard deviation of "
        "these runs’ test errors; “fitted” is its estimate from all sizes, on which the intervals are based. Runs that "
        "collapsed, far above the others of their size, are left out of both, and count in every test error at the "
        "rate of all sizes. Seeds link to their runs."
    )
    return Section("measured", "Measurements", (note, *(sizes(results, name) for name in results.names), runs(results)))


def sizes(results: StudyResults, name: str) -> Table:
    head = (
        "Images",
        "Test error",
        "Seed std, points",
        "Fitted",
        "Train error",
        "Calibration error",
        "Collapsed",
        "Trained out",
        "Seeds",
    )
    contender = next(one for one in results.forecast.contenders if one.name == name)
    has_lengths = bool(results.lengths)
    rows = [size_row(point, results.runs(name, point.images), has_lengths) for point in contender.points]
    return Table(name, head, tuple(rows))


def size_row(point: Point, runs: list[FinishedRun], has_lengths: bool) -> Row:
    results = [done.result for done in runs if done.result]
    trained_out = "not measured" if not has_lengths else "limited by budget" if point.limited else "yes"
    seeds = tuple(Link(str(done.job.seed), done.job.name) for done in runs)
    return Row(
        (
            count(point.images),
            percent_range(point.error, point.low, point.high),
            "–" if point.measured_spread is None else points(point.measured_spread, 2),
            points(point.seed_spread, 2),
            percent(fmean(result.train_error for result in results)),
            percent(fmean(result.calibration_error for result in results)),
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
