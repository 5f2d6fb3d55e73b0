"""The loss of accuracy between two models on the same images, paired."""

from math import sqrt

from scipy.optimize import brentq

Z = 1.6448536269514722  # one-sided, 95 %


def loss_bound(lost: int, won: int, images: int) -> float:
    """Upper bound of the loss of accuracy, one-sided 95 % (Tango's score interval).

    `lost` images were correct before and are wrong now, `won` the other way round.
    """
    if lost == images:
        return 1.0

    def score(loss: float) -> float:
        """How many deviations the observed loss lies below a true one of this size."""
        b = -lost - won + (2 * images + lost - won) * loss
        c = -won * loss * (1 - loss)
        only_after = max(0.0, (sqrt(max(0.0, b * b - 8 * images * c)) - b) / (4 * images))
        variance = images * (2 * only_after + loss * (1 - loss))
        return (images * loss - (lost - won)) / sqrt(max(variance, 1e-12)) - Z

    seen = (lost - won) / images
    return float(brentq(score, seen + 1e-12, 1 - 1e-12))
