"""The choice among contenders: by validation images, so that the test error of the chosen one is not a lucky one."""

from collections.abc import Iterable

from vitrail.training.study.jobs import FinishedRun, Result
from vitrail.training.study.learning_rates import Score, score


def validation_scores(reported: Iterable[FinishedRun], size: int) -> dict[str, Score]:
    """Of every contender with runs of this size, the lowest error first, and of equal ones the lowest loss."""
    results: dict[str, list[Result]] = {}
    for done in reported:
        if done.result is not None and done.job.size == size:
            results.setdefault(done.job.contender, []).append(done.result)
    scores = {name: score(own) for name, own in results.items()}
    return dict(sorted(scores.items(), key=lambda one: (one[1].error, one[1].loss)))
