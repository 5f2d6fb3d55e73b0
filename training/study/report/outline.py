"""The report as sections, in the order in which questions come: who, how many, what was seen, at what cost, and how."""

from vitrail.training.study.report.back_test import told as back_test
from vitrail.training.study.report.blocks import Curves, Section, Story
from vitrail.training.study.report.formatting import count, plural
from vitrail.training.study.report.results import Found
from vitrail.training.study.report.sections.comparison import ahead
from vitrail.training.study.report.sections.expectation import beforehand
from vitrail.training.study.report.sections.cost import cost
from vitrail.training.study.report.sections.failed_runs import losses
from vitrail.training.study.report.sections.measured import measured
from vitrail.training.study.report.sections.method import method
from vitrail.training.study.report.sections.images_needed import needs
from vitrail.training.study.report.sections.learning_rates import rates
from vitrail.training.study.statistics.recommendation import sentence

CURVES = (
    "Small points are runs, large ones their means with 90 % intervals; bands are those of the fitted curves. Dashed, "
    "on shaded ground: foretold, not measured."
)


def tell(found: Found) -> Story:
    decision = sentence(found.forecast)
    sections = [
        Section("curves", "Learning curves", (Curves(f"{CURVES} {back_test(found.forecast)}"),)),
        ahead(found.forecast),
        needs(found.forecast),
        beforehand(found.settled.plan.expected, decision),
        measured(found),
        cost(found),
        rates(found),
        losses(found),
        method(found),
    ]
    return Story(title(found), decision, ground(found), tuple(one for one in sections if one))


def title(found: Found) -> str:
    return f"{found.settled.plan.name}: {' or '.join(found.names)}?"


def ground(found: Found) -> str:
    """What the decision stands on."""
    forecast = found.forecast
    sizes, seeds = forecast.sizes, {done.job.seed for done in found.reported}
    return (
        f"{plural(len(found.reported), 'training run')}: {plural(len(sizes), 'size')} from {count(sizes[0])} to "
        f"{count(sizes[-1])} labelled images, {plural(len(seeds), 'seed')} each; {count(forecast.test_images)} "
        f"test images that no run learnt from. {back_test(forecast)}"
    )
