"""The report as sections: recommendation, comparison, images needed, measurements, cost, method."""

from vitrail.plots.formatting import count, plural
from vitrail.training.study.report.blocks import CurvesFigure, Report, Section
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.sections.baselines import baselines
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
from vitrail.training.study.statistics.recommendation import recommendation

CURVES = (
    "Small points are runs, large points their means with 90 % intervals, hollow where longer runs may be better; "
    "bands are the 90 % bands of the fitted curves. Dashed lines on a shaded background are forecasts."
)


def build_report(results: StudyResults) -> Report:
    decision = recommendation(results.forecast, results.baselines, price_clause(results))
    sections = [
        Section("curves", "Learning curves", (CurvesFigure(f"{CURVES} {back_test_text(results.forecast)}"),)),
        comparison(results.forecast),
        images_needed(results.forecast),
        price(results),
        expectation(results.resolved.plan.expected, decision),
        measured(results),
        baselines(results),
        cost(results),
        learning_rates(results),
        lengths(results),
        failed_runs(results),
        method(results),
    ]
    return Report(title(results), decision, basis(results), tuple(one for one in sections if one))


def title(results: StudyResults) -> str:
    return f"{results.resolved.plan.name}: {' or '.join(results.names)}?"


def basis(results: StudyResults) -> str:
    """The data behind the recommendation, in one line."""
    forecast = results.forecast
    sizes, seeds = forecast.sizes, {done.job.seed for done in results.reported}
    return (
        f"{plural(len(results.reported), 'training run')}: {plural(len(sizes), 'size')} from {count(sizes[0])} to "
        f"{count(sizes[-1])} labelled images, {plural(len(seeds), 'seed')} each; {count(forecast.test_images)} "
        f"test images that no run was trained on. {back_test_text(forecast)}"
    )
