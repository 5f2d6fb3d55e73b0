"""Baselines on pixels, and probes of pretrained networks, beside the contenders, at every size."""

from vitrail.plots.formatting import count, percent
from vitrail.training.study.report.blocks import Row, Section, Table
from vitrail.training.study.report.results import StudyResults

NOTE = (
    "What the pixels say without training a network, on canvases of at most 32 × 32: the most frequent class, the "
    "nearest labelled image, logistic regression, and a support vector machine where there are few enough images. They "
    "use every label that a run uses. A contender that is no better is not worth its training."
)
PROBES = (
    "A probe is logistic regression on the features of a pretrained network as it was before the study: what a "
    "contender that starts from the same weights has beyond its probe, it has from fine-tuning."
)


def baselines(results: StudyResults) -> Section | None:
    if not results.baselines:
        return None
    names = list(dict.fromkeys(one.name for one in results.baselines))
    errors = {(one.name, one.size): one.error for one in results.baselines}
    errors |= {(one.name, point.images): point.error for one in results.forecast.contenders for point in one.points}
    columns = (*names, *(one.name for one in results.forecast.contenders))
    rows = [
        Row((count(size), *(percent(errors[name, size]) if (name, size) in errors else "–" for name in columns)))
        for size in results.forecast.sizes
    ]
    table = Table("Test errors", ("Images", *columns), tuple(rows))
    notes = (NOTE, PROBES) if any(one.reads == "features" for one in results.baselines) else (NOTE,)
    return Section("baselines", "Baselines", (*notes, table))
