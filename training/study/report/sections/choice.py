"""Which contender validation images choose at the largest size, and which others test images tell from it."""

from vitrail.plots.formatting import count, listed, percent, percent_range, plural, points, points_range, significance
from vitrail.training.study.report.blocks import Row, Section, Table
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.statistics.baseline import best_at
from vitrail.training.study.statistics.contrasts import Contrast, contrasts
from vitrail.training.study.statistics.findings import Contender, Point
from vitrail.training.study.statistics.recommendation import behind, by_error, collapses, limits

HOW = (
    "Chosen by the mean error on validation images over all seeds, of equal ones by the loss. The more contenders are "
    "tried, the luckier the best of them looks: the lowest validation error and the lowest test error are lower than "
    "they would be again. The test error of the chosen one is not: no test image took part in the choice, though the "
    "same seeds did. “Behind” is a contender’s test error minus that of the chosen one, image by image on the same "
    "test images, with its 90 % interval; “p, corrected” is corrected for the number of comparisons (Holm), and below "
    "0.05 a difference is clear."
)


def decision(results: StudyResults) -> str:
    """In one sentence: the chosen contender, its error, and what of the others is known."""
    names, size = list(results.validation_scores), results.forecast.sizes[-1]
    if not names:
        return f"No contender has a finished run with {count(size)} images, so there is no result yet."
    ranked = by_error(results.forecast)
    first = next(one for one in ranked if one.name == names[0])
    parts = [
        f"With {count(size)} images, validation images choose {first.name} of {count(len(names))} contenders: "
        f"{accuracy(first)} on test images that took no part in the choice"
        f"{behind([first], best_at(results.baselines, size))}{limits(ranked)}",
        *others(list(contrasts(results.forecast, names).values())),
        *(
            f"of the {count(len(own))} variants of {varied} they choose {own[0]}: "
            f"{accuracy(next(one for one in ranked if one.name == own[0]))}"
            for varied, own in other_variants(results).items()
        ),
        collapses(first),
    ]
    return "; ".join(part for part in parts if part) + "."


def accuracy(one: Contender) -> str:
    point = one.points[-1]
    return f"{percent_range(1 - point.error, 1 - point.high, 1 - point.low)} accuracy"


def others(compared: list[Contrast]) -> list[str]:
    """Which are clearly worse or better than the chosen one, and how far the rest may be from it."""
    worse = [one.name for one in compared if one.verdict == "clearly worse"]
    better = [one.name for one in compared if one.verdict == "clearly better"]
    close = [one for one in compared if one.verdict == "no clear difference"]
    parts = [f"clearly better on test images: {listed(better)}"] if better else []
    parts += [f"clearly worse: {listed(worse)}"] if worse else []
    if close:
        most = max(max(abs(one.low), abs(one.high)) for one in close)
        names = listed([one.name for one in close]) if worse or better else "every other"
        parts.append(f"no clear difference to {names}, by the intervals up to {points(most)} points better or worse")
    return parts


def other_variants(results: StudyResults) -> dict[str, list[str]]:
    """The variants of every contender of a sweep that the chosen one is not of, the best first."""
    names = list(results.validation_scores)
    of = {one.name: one.varied for one in results.resolved.contenders}
    families = {varied: [name for name in names if of[name] == varied] for varied in of.values() if varied}
    return {varied: own for varied, own in families.items() if own and of[names[0]] != varied}


def choice(results: StudyResults) -> Section:
    names, images = list(results.validation_scores), f"{count(results.forecast.sizes[-1])} images"
    tables = [table(results, f"Contenders with {images}", names)] if names else []
    tables += [
        table(results, f"Variants of {varied} with {images}", own) for varied, own in other_variants(results).items()
    ]
    return Section("choice", "Choice", (HOW, *tables, *luckiest(results)))


def table(results: StudyResults, caption: str, names: list[str]) -> Table:
    """The chosen one first, and each other one beside it."""
    head = ("Contender", "Verdict", "Validation error", "Test error", "Behind, points", "p, corrected")
    measured = {one.name: one.points[-1] for one in by_error(results.forecast)}
    compared = contrasts(results.forecast, names)
    rows = [row(name, results.validation_scores[name].error, measured[name], compared.get(name)) for name in names]
    return Table(caption, head, tuple(rows))


def row(name: str, validation_error: float, point: Point, compared: Contrast | None) -> Row:
    errors = percent(validation_error), percent_range(point.error, point.low, point.high)
    if compared is None:
        return Row((name, "chosen", *errors, "–", "–"))
    gap = points_range(compared.gap, compared.low, compared.high)
    return Row((name, compared.verdict, *errors, gap, significance(compared.corrected)))


def luckiest(results: StudyResults) -> list[str]:
    """The lowest test error, where it is another contender's than the chosen one's."""
    ranked = by_error(results.forecast)
    if not ranked or ranked[0].name == next(iter(results.validation_scores), None):
        return []
    return [
        f"The lowest test error is that of {ranked[0].name}, {percent(ranked[0].points[-1].error)}, the luckiest of "
        f"{plural(len(ranked), 'contender')}: to choose it by this number would take luck for merit."
    ]
