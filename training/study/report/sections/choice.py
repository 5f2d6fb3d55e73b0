"""Which contender validation images choose at the largest size, and which others test images cannot tell from it."""

from vitrail.plots.formatting import count, listed, percent, percent_range, plural, points, points_range, significance
from vitrail.training.study.learning_rates import Score
from vitrail.training.study.report.blocks import Row, Section, Table
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.statistics.baseline import best_at
from vitrail.training.study.statistics.contrasts import Contrast, contrasts
from vitrail.training.study.statistics.findings import Point
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
    scores, size = results.validation_scores, results.forecast.sizes[-1]
    if not scores:
        return f"No contender has a finished run with {count(size)} images, so there is no result yet."
    chosen, ranked = next(iter(scores)), by_error(results.forecast)
    first = next(one for one in ranked if one.name == chosen)
    point = first.points[-1]
    parts = [
        f"With {count(size)} images, validation images choose {chosen} of {count(len(scores))} contenders: "
        f"{percent_range(1 - point.error, 1 - point.high, 1 - point.low)} accuracy on test images that took no part in "
        f"the choice{behind([first], best_at(results.baselines, size))}{limits(ranked)}",
        *others(list(contrasts(results.forecast, chosen).values())),
        collapses(first),
    ]
    return "; ".join(part for part in parts if part) + "."


def others(compared: list[Contrast]) -> list[str]:
    """Which are clearly worse or better than the chosen one, and how far the rest may be from it."""
    worse = [one.name for one in compared if one.verdict == "clearly worse"]
    better = [one.name for one in compared if one.verdict == "clearly better"]
    close = [one for one in compared if one.verdict == "cannot be told apart"]
    parts = [f"clearly better on test images: {listed(better)}"] if better else []
    parts += [f"clearly worse: {listed(worse) or 'none'}"] if compared else []
    if close:
        most = max(max(abs(one.low), abs(one.high)) for one in close)
        names = listed([one.name for one in close])
        parts.append(f"not to be told from it: {names}, by the intervals up to {points(most)} points better or worse")
    return parts


def choice(results: StudyResults) -> Section:
    size = results.forecast.sizes[-1]
    chosen = next(iter(results.validation_scores), "")
    compared = contrasts(results.forecast, chosen)
    measured = {one.name: one.points[-1] for one in by_error(results.forecast)}
    rows = [row(name, score, measured[name], compared.get(name)) for name, score in results.validation_scores.items()]
    head = ("Contender", "Validation error", "Test error", "Behind, points", "p, paired", "p, corrected", "Verdict")
    table = Table(f"Contenders with {count(size)} images", head, tuple(rows))
    return Section("choice", "Choice", (HOW, table, *luckiest(chosen, measured)))


def row(name: str, score: Score, point: Point, compared: Contrast | None) -> Row:
    error = percent_range(point.error, point.low, point.high)
    if compared is None:
        return Row((name, percent(score.error), error, "–", "–", "–", "chosen"))
    return Row(
        (
            name,
            percent(score.error),
            error,
            points_range(compared.gap, compared.low, compared.high),
            significance(compared.p_value),
            significance(compared.corrected),
            compared.verdict,
        )
    )


def luckiest(chosen: str, measured: dict[str, Point]) -> list[str]:
    """The lowest test error, where it is another contender's."""
    lowest = min(measured, key=lambda name: measured[name].error, default=chosen)
    if lowest == chosen:
        return []
    return [
        f"The lowest test error is that of {lowest}, {percent(measured[lowest].error)}, the luckiest of "
        f"{plural(len(measured), 'contender')}: to choose it by this number would take luck for merit."
    ]
