"""The report as sections: recommendation or choice, comparison, images needed, measurements, cost, method."""

from dataclasses import replace

from vitrail.plots.formatting import count, plural
from vitrail.training.study.report.blocks import CurvesFigure, Report, Section
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.sections.baselines import baselines
from vitrail.training.study.report.sections.choice import choice, decision
from vitrail.training.study.report.sections.comparison import comparison
from vitrail.training.study.report.sections.cost import cost
from vitrail.training.study.report.sections.expectation import expectation
from vitrail.training.study.report.sections.failed_runs import failed_runs
from vitrail.training.study.report.sections.images_needed import back_test_text, images_needed
from vitrail.training.study.report.sections.learning_rates import learning_rates
from vitrail.training.study.report.sections.lengths import lengths
from vitrail.training.study.report.sections.measured import measured
from vitrail.training.study.report.sections.method import method
from vitrail.training.study.report.sections.price import price, price_clause
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.recommendation import recommendation

CURVES = (
    "Small points are runs, large points their means with 90 % intervals, hollow where longer runs may be better; "
    "bands are the 90 % bands of the fitted curves. Dashed lines on a shaded background are forecasts."
)


def build_report(results: StudyResults) -> Report:
    decided = decision(results) if results.has_choice else recommended(results)
    sections = [
        choice(results) if results.has_choice else None,
        *(curves(compared(results)) if results.has_curves else ()),
        price(results),
        expectation(results.resolved.plan.expected, decided),
        measured(results),
        baselines(results),
        cost(results),
        learning_rates(results),
        lengths(results),
        failed_runs(results),
        method(results),
    ]
    return Report(title(results), decided, basis(results), tuple(one for one in sections if one))


def recommended(results: StudyResults) -> str:
    return recommendation(results.forecast, results.baselines, price_clause(results))


def compared(results: StudyResults) -> Forecast:
    """Where one of many is chosen, only with those pairs that it is in."""
    chosen = next(iter(results.validation_scores), None)
    if not results.has_choice or chosen is None:
        return results.forecast
    pairs = tuple(one for one in results.forecast.pairs if chosen in (one.first, one.second))
    return replace(results.forecast, pairs=pairs)


def curves(forecast: Forecast) -> tuple[Section, ...]:
    figure = CurvesFigure(f"{CURVES} {back_test_text(forecast)}")
    return Section("curves", "Learning curves", (figure,)), comparison(forecast), images_needed(forecast)


def title(results: StudyResults) -> str:
    which = f"which of {count(len(results.names))}" if results.has_choice else " or ".join(results.names)
    return f"{results.resolved.plan.name}: {which}?"


def basis(results: StudyResults) -> str:
    """The data behind the recommendation, in one line."""
    forecast = results.forecast
    sizes, seeds = forecast.sizes, {done.job.seed for done in results.reported}
    span = (
        f"{plural(len(sizes), 'size')} from {count(sizes[0])} to {count(sizes[-1])}" if sizes[1:] else count(sizes[0])
    )
    back_test = f" {back_test_text(forecast)}" if results.has_curves else ""
    return (
        f"{plural(len(results.reported), 'training run')}: {span} labelled images, {plural(len(seeds), 'seed')} each; "
        f"{count(forecast.test_images)} test images that no run was trained on.{back_test}"
    )
