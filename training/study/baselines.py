"""Baselines of a study: what is known of the images without training a network, at every size.

A contender that is no better than these is not worth its training, however its curve runs. They read the pixels of
canvases of at most 32 × 32, or features of the pretrained networks among the contenders, and use every label that a run
may use.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC
from torch import from_numpy, nn

from vitrail.data import Source
from vitrail.data.source import PARTS
from vitrail.errors import DataError, first_line
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.training.features import Features
from vitrail.training.probe import fit_head
from vitrail.training.runs import write_json
from vitrail.training.study.image_cache import CachedDataModule, CachedSource
from vitrail.training.study.probes import FrozenFeatures, probes_of
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.baseline import Baseline
from vitrail.training.study.store import BASELINES_FILE, read_baselines

MOST_PIXELS = 32  # along a side of the canvases
MOST_FOR_SVM = 6000  # labelled images; its time grows with their square
SVM_PENALTY = 10.0
BLOCK = 500  # test images at a time

Inputs = NDArray[np.float32]  # [N, D]: pixels or features
Labels = NDArray[np.int64]
Split = tuple[Inputs, Labels]
Predict = Callable[[Inputs, Labels, Inputs, Labels, Inputs], Labels]  # training, validation, test


def majority(inputs: Inputs, labels: Labels, val: Inputs, val_labels: Labels, test: Inputs) -> Labels:
    """The most frequent class."""
    classes, counts = np.unique(np.concatenate([labels, val_labels]), return_counts=True)
    return np.full(len(test), classes[counts.argmax()])


def nearest(inputs: Inputs, labels: Labels, val: Inputs, val_labels: Labels, test: Inputs) -> Labels:
    """The class of the labelled image at the least Euclidean distance."""
    known, classes = np.concatenate([inputs, val]), np.concatenate([labels, val_labels])
    half = (known**2).sum(axis=1) / 2
    blocks = [test[start : start + BLOCK] for start in range(0, len(test), BLOCK)]
    return np.concatenate([classes[(half - one @ known.T).argmin(axis=1)] for one in blocks])


def logistic(inputs: Inputs, labels: Labels, val: Inputs, val_labels: Labels, test: Inputs) -> Labels:
    """Logistic regression; the validation images choose its penalty."""
    classes = 1 + int(max(labels.max(), val_labels.max()))
    head, task = nn.Linear(inputs.shape[1], classes), TRAINING_TASKS["classification"](classes, 0.0)
    train, check = (Features(from_numpy(x), from_numpy(y)) for x, y in ((inputs, labels), (val, val_labels)))
    fit_head(head, task, train, check)
    chosen: Labels = head(from_numpy(test)).argmax(1).numpy()
    return chosen


def support_vectors(inputs: Inputs, labels: Labels, val: Inputs, val_labels: Labels, test: Inputs) -> Labels:
    """A support vector machine with Gaussian kernels, as wide as the pixels scatter."""
    machine = SVC(C=SVM_PENALTY, gamma="scale").fit(np.concatenate([inputs, val]), np.concatenate([labels, val_labels]))
    chosen: Labels = machine.predict(test)
    return chosen


ON_PIXELS: dict[str, Predict] = {
    "majority": majority,
    "1-NN": nearest,
    "logistic regression": logistic,
    "RBF-SVM": support_vectors,
}


def measure_baselines(resolved: ResolvedPlan, source: Source, folder: Path, say: Callable[[str], None]) -> None:
    """Measure those that the folder does not have, and store them."""
    known = {(one.name, one.size): one for one in read_baselines(folder)}
    probes = probes_of(resolved.contenders)
    wanted = [(name, size) for size in resolved.sizes for name in (*pixel_baselines(size), *probes)]
    missing = [one for one in wanted if one not in known]
    if not missing:
        return
    say("baselines: " + ", ".join(dict.fromkeys(name for name, _ in missing)))
    cached, names = CachedSource(source), {name for name, _ in missing}
    frozen = {name: FrozenFeatures(resolved, one, source) for name, one in probes.items() if name in names}
    for size in dict.fromkeys(size for _, size in missing):
        try:
            found = list(measured_at(resolved, size, [name for name, at in missing if at == size], cached, frozen))
        except DataError as fault:  # its runs fail with it, too
            say(f"no baselines with {size:,} images: {first_line(fault)}")
            continue
        known |= {(one.name, size): one for one in found}
    write_json(folder / BASELINES_FILE, {"baselines": [asdict(known[one]) for one in wanted if one in known]})


def pixel_baselines(size: int) -> list[str]:
    return [name for name in ON_PIXELS if name != "RBF-SVM" or size <= MOST_FOR_SVM]


def measured_at(
    resolved: ResolvedPlan, size: int, names: Iterable[str], source: Source, frozen: Mapping[str, FrozenFeatures]
) -> Iterator[Baseline]:
    """These baselines with this many images, which are those of the first seed's run."""
    pixels = pixels_of(resolved, source, size)
    for name in names:
        if name in frozen:
            features = features_of(resolved, source, size, frozen[name])
            yield Baseline(name, size, *wrong(logistic, *features), reads="features")
        else:
            yield Baseline(name, size, *wrong(ON_PIXELS[name], *pixels))


def pixels_of(resolved: ResolvedPlan, source: Source, size: int) -> list[Split]:
    """Of training, validation and test images."""
    data = data_of(resolved, source, size, min(resolved.rule.size, MOST_PIXELS))
    parts = [data.part(part) for part in PARTS]
    return [(flat(one.images), np.asarray(one.labels, np.int64)) for one in parts]


def features_of(resolved: ResolvedPlan, source: Source, size: int, frozen: FrozenFeatures) -> list[Split]:
    """Of training, validation and test images."""
    data = data_of(resolved, source, size, resolved.rule.size)
    return [(frozen.of(data, part), np.asarray(data.targets(part).labels, np.int64)) for part in PARTS]


def data_of(resolved: ResolvedPlan, source: Source, size: int, side: int) -> CachedDataModule:
    settings = {**resolved.plan.data, "crop": None, "size": side}
    return CachedDataModule(source, **settings, images=size, draw=resolved.plan.seeds[0])


def wrong(predict: Predict, train: Split, val: Split, test: Split) -> tuple[int, int]:
    """Of how many test images it predicts another class than their label, and how many there are."""
    predicted = predict(*train, *val, test[0])
    return int((predicted != test[1]).sum()), len(predicted)


def flat(images: NDArray[np.uint8]) -> Inputs:
    """[N, size, size, 3] → [N, D]; grey images have one number a pixel."""
    is_grey = (images[..., :1] == images).all()
    chosen = images[..., :1] if is_grey else images
    return chosen.reshape(len(images), -1).astype(np.float32) / np.float32(255)
