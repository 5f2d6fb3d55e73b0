"""Curves too ill-behaved for a forecast: those that rise with more images, and those that no law fits."""

import numpy as np
from scipy.special import ndtri

from vitrail.training.study.statistics.average import Averaged
from vitrail.training.study.statistics.fit import fit
from vitrail.training.study.statistics.outcomes import Floats

FALSE_POSITIVES = 0.01  # rate at which each of the two checks may refuse a well-behaved curve


def ill_behaved(sizes: Floats, errors: Floats, curve: Averaged, shock: float = 0.0) -> str | None:
    """The reason why errors [1 + D, S], measured first and then drawn, are ill-behaved; None if they are not."""
    return rising(sizes, errors, shock) or misfit(sizes, errors, curve)


def rising(sizes: Floats, errors: Floats, shock: float) -> str | None:
    """Whether the error rises between any two sizes by more than test images and seeds explain.

    Shocks, of this standard deviation relative to the error, would explain every curve.
    """
    fewer, more = np.triu_indices(len(sizes), 1)
    rise = errors[:, more] - errors[:, fewer]  # [1 + D, pairs]
    without_shocks = rise[1:].var(axis=0) - shock**2 * (errors[0, more] ** 2 + errors[0, fewer] ** 2)
    score = rise[0] / np.sqrt(np.maximum(without_shocks, 0.1 * rise[1:].var(axis=0)))
    worst = int(score.argmax())
    if score[worst] <= ndtri(1 - FALSE_POSITIVES / len(fewer)):
        return None
    before, after = fewer[worst], more[worst]
    return (
        f"its error with {sizes[after]:.0f} images ({errors[0, after]:.1%}) "
        f"is higher than with {sizes[before]:.0f} ({errors[0, before]:.1%})"
    )


def misfit(sizes: Floats, errors: Floats, curve: Averaged) -> str | None:
    """Whether the best law fits the measured errors worse than errors drawn from the law itself."""
    x = sizes / curve.largest
    variance = errors[1:].var(axis=0)
    residual = [((one.at(x)[0] - errors[0]) ** 2 / variance).sum() for one in curve.fits]
    best = curve.fits[int(np.argmin(residual))]
    simulated = np.maximum(best.at(x)[0] + errors[1:] - errors[1:].mean(axis=0), 1e-9)
    again = fit(best.law, x, simulated, variance, best.flat_from).at(x)
    p = (((again - simulated) ** 2 / variance).sum(axis=1) >= min(residual)).mean()
    return None if p >= FALSE_POSITIVES else f"no law fits it: the best, {best.law.name}, is off by more than chance"
