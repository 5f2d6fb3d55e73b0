"""How long the baselines of a study take, from a sample of its images."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

from vitrail.data import Source
from vitrail.training.study.baselines import ON_PIXELS, features_of, logistic, pixel_baselines, pixels_of, wrong
from vitrail.training.study.image_cache import CachedSource, SourceSubset
from vitrail.training.study.probes import FrozenFeatures, probes_of
from vitrail.training.study.resolved_plan import ResolvedPlan

Made = TypeVar("Made")
Work = Callable[[int, int], int]  # of labelled images and test images: what the time of a baseline grows with

WORK: dict[str, Work] = {
    "majority": lambda labelled, test: labelled + test,
    "1-NN": lambda labelled, test: labelled * test,
    "logistic regression": lambda labelled, test: labelled,
    "RBF-SVM": lambda labelled, test: labelled * (labelled + test),
}


def baseline_seconds(resolved: ResolvedPlan, source: Source, most: int) -> float:
    """Of all baselines at all sizes: each is measured once, with at most `most` images of a part."""
    subset = SourceSubset(source, most)
    sample, test, tested = CachedSource(subset), len(source.labels("test")), len(subset.labels("test"))
    sizes, size = resolved.sizes, min(resolved.sizes[-1], most)
    images = (sizes[-1] + test) / (size + tested)  # each is read once, of which the sample is a part
    pixels, reading = timed(partial(pixels_of, resolved, sample, size))
    total = images * reading
    for name, work in WORK.items():
        _, seconds = timed(partial(wrong, ON_PIXELS[name], *pixels))
        planned = sum(work(one, test) for one in sizes if name in pixel_baselines(one))
        total += seconds * planned / work(size, tested)
    for contender in probes_of(resolved.contenders).values():
        frozen = FrozenFeatures(resolved, contender, subset)
        features, computing = timed(partial(features_of, resolved, sample, size, frozen))
        _, fitting = timed(partial(wrong, logistic, *features))
        total += images * computing + fitting * sum(sizes) / size
    return total


def timed(make: Callable[[], Made]) -> tuple[Made, float]:
    begin = perf_counter()
    made = make()
    return made, perf_counter() - begin
