"""Curves that no forecast should be made from: those that rise with more images, and those that no law fits."""

import numpy as np
from scipy.special import ndtri

from vitrail.training.study.statistics.average import Averaged
from vitrail.training.study.statistics.fit import fit
from vitrail.training.study.statistics.outcomes import Floats

ALARM = 0.01  # how often a well-behaved curve may be refused, by each of the two checks


def ill_behaved(sizes: Floats, errors: Floats, curve: Averaged) -> str | None:
    """Why the errors [1 + D, S], measured first and then drawn, are ill-behaved; None if they are not."""
    return rising(sizes, errors) or unlawful(sizes, errors, curve)


def rising(sizes: Floats, errors: Floats) -> str | None:
    """Whether more images surely did worse, for the most striking of all pairs of sizes."""
    few, many = np.triu_indices(len(sizes), 1)
    rise = errors[:, many] - errors[:, few]  # [1 + D, pairs]
    striking = rise[0] / rise[1:].std(axis=0)
    worst = int(striking.argmax())
    if striking[worst] <= ndtri(1 - ALARM / len(few)):
        return None
    before, after = few[worst], many[worst]
    return (
        f"it errs more with {sizes[after]:.0f} images ({errors[0, after]:.1%}) "
        f"than with {sizes[before]:.0f} ({errors[0, before]:.1%})"
    )


def unlawful(sizes: Floats, errors: Floats, curve: Averaged) -> str | None:
    """Whether even the nearest law lies further from the measured errors than it would from errors that follow it."""
    x = sizes / curve.largest
    variance = errors[1:].var(axis=0)
    off = [((one.at(x)[0] - errors[0]) ** 2 / variance).sum() for one in curve.fits]
    nearest = curve.fits[int(np.argmin(off))]
    lawful = np.maximum(nearest.at(x)[0] + errors[1:] - errors[1:].mean(axis=0), 1e-9)
    again = fit(nearest.law, x, lawful, variance).at(x)
    chance = (((again - lawful) ** 2 / variance).sum(axis=1) >= min(off)).mean()
    return None if chance >= ALARM else f"no law fits it: the nearest, {nearest.law.name}, misses it beyond chance"
