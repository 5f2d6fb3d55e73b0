"""Baselines on pixels beside the contenders, at every size."""

from vitrail.training.study.report.blocks import Row, Section, Table
from vitrail.training.study.report.formatting import count, percent, percent_range
from vitrail.training.study.report.results import StudyResults

NOTE = (
    "What the pixels say without training a network, on canvases of at most 32 × 32: the most frequent class, the "
    "nearest labelled image, logistic regression, and a support vector machine where there are few enough images. They "
    "use every label that a run uses. A contender that is no better is not worth its training."
)


def baselines(results: StudyResults) -> Section | None:
    if not results.baselines:
        return None
    names = list(dict.fromkeys(one.name for one in results.baselines))
    found = {(one.name, one.size): one for one in results.baselines}
    contenders = results.forecast.contenders
    rows = [
        Row(
            (
                count(size),
                *(
                    percent_range(one.error, *one.interval) if (one := found.get((name, size))) else "–"
                    for name in names
                ),
                *(
                    next((percent(point.error) for point in contender.points if point.images == size), "–")
                    for contender in contenders
                ),
            )
        )
        for size in results.forecast.sizes
    ]
    table = Table("Test errors", ("Images", *names, *(one.name for one in contenders)), tuple(rows))
    return Section("baselines", "Baselines", (NOTE, table))
