"""Collapsed runs: those whose training failed, far above the other runs of their cell.

They are part of what a contender does to whoever trains it once, so the expected error includes them, but at the rate
and the size seen in the whole study: three seeds without one, or with one, say little about the rate of a cell.
"""

from functools import lru_cache

import numpy as np

from vitrail.training.study.statistics.outcomes import Flags, Floats, Outcomes

LEAST_RATIO = 1.5  # of the odds of an error to those of the next lower one in its cell …
LEAST_SCORE = 5.0  # … whose logarithms also differ by so many robust standard deviations between runs
LEAST_CHANCE = 3.0  # standard deviations of chance in the test images, by which they differ, too
ALONE = 0.3
POOLING = 10.0  # runs that the rate of all contenders counts for in that of one


def collapsed(outcomes: Outcomes) -> Flags:
    """Which runs collapsed, [C, S, R]; of a cell always the worst, and never all."""
    odds, wrong = log_odds(outcomes), outcomes.wrong.sum(axis=3)
    flags = np.zeros_like(outcomes.done)
    for contender, own in enumerate(outcomes.done):
        ordered = [np.sort(odds[contender, size][done]) for size, done in enumerate(own)]
        several = [one for one in ordered if len(one) >= 2]
        if not several:
            continue
        scale = float(np.mean([shortest_half(one) / expected_half(len(one)) for one in several]))
        for size, one in enumerate(ordered):
            steps = np.diff(one)
            if not len(steps) or steps.max() <= max(np.log(LEAST_RATIO), LEAST_SCORE * scale):
                continue
            below = own[size] & (odds[contender, size] <= one[steps.argmax()])
            above = own[size] & ~below
            if differ(wrong[contender, size][below].max(), wrong[contender, size][above].min()):
                flags[contender, size] = above
    return flags


def differ(few: int, more: int) -> bool:
    """Whether two numbers of wrong test images differ by more than chance: with hardly any, each is a large factor."""
    return bool(more - few > LEAST_CHANCE * np.sqrt(few + more + 1))


def log_odds(outcomes: Outcomes) -> Floats:
    """Of each run's error, [C, S, R], with half a wrong and half a correct image added."""
    wrong = outcomes.wrong.sum(axis=3)
    return np.asarray(np.log(wrong + 0.5) - np.log(outcomes.images - wrong + 0.5))


def shortest_half(ordered: Floats) -> float:
    """The length of the shortest interval with more than half of the values."""
    half = len(ordered) // 2
    return float((ordered[half:] - ordered[: len(ordered) - half]).min())


@lru_cache
def expected_half(count: int) -> float:
    """The mean of that length for so many standard normal values."""
    values = np.sort(np.random.default_rng(0).standard_normal((20_000, count)), axis=1)
    half = count // 2
    return float(np.mean((values[:, half:] - values[:, : count - half]).min(axis=1)))


def drawn_factors(outcomes: Outcomes, fine: Outcomes, count: int, random: np.random.Generator) -> Floats:
    """Draws of the expected error over that of the runs that did not collapse, [P, C, S]; 1 if all did not."""
    flags = outcomes.done & ~fine.done
    if not flags.any():
        return np.ones((count, *outcomes.runs.shape))
    error = (outcomes.wrong.sum(axis=3) + 0.5) / (outcomes.images + 1)  # [C, S, R]
    ratios = (error / fine.errors[:, :, None])[flags]
    ratio = drawn_mean(ratios, count, random)[:, None, None]
    worst = np.maximum(error[outcomes.done].max() / fine.errors, 1)  # no run is above it
    return np.asarray(1 + rates(outcomes, flags, count, random)[:, :, None] * (np.minimum(ratio, worst) - 1))


def drawn_mean(ratios: Floats, count: int, random: np.random.Generator) -> Floats:
    """Bootstrap draws of the mean, [P]; of a single ratio as uncertain as `ALONE`."""
    if len(ratios) == 1:
        return np.asarray(ratios * random.lognormal(0, ALONE, count))
    return np.asarray(random.choice(ratios, (count, len(ratios))).mean(axis=1))


def rates(outcomes: Outcomes, flags: Flags, count: int, random: np.random.Generator) -> Floats:
    """Draws of the share of a contender's runs that collapse, [P, C]."""
    failed, made = flags.sum(axis=(1, 2)), outcomes.done.sum(axis=(1, 2))  # [C]
    common = random.beta(failed.sum() + 0.5, made.sum() - failed.sum() + 0.5, (count, 1))
    return np.asarray(random.beta(POOLING * common + failed, POOLING * (1 - common) + made - failed))
