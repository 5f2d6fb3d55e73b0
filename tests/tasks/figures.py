"""Figures of an evaluation by name."""

from vitrail.tasks.task import Evaluation


def metrics(evaluation: Evaluation) -> dict[str, tuple[float, float, float]]:
    return {one.name: (one.value, one.low, one.high) for one in evaluation.others}
