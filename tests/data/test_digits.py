"""The embedded digits: their pixels, their parts, and canvases of other sizes."""

import numpy as np
from sklearn.datasets import load_digits

from vitrail.data import Digits
from vitrail.data.source import PARTS
from vitrail.images.canvas import InputRule


def test_canvases_are_scikit_learns_digits_as_bytes() -> None:
    grey, labels = load_digits(return_X_y=True)
    expected = {
        (tuple(np.round(row * 255 / 16).astype(int)), int(label)) for row, label in zip(grey, labels, strict=True)
    }
    source = Digits()
    actual = set()
    for part in PARTS:
        images = source.read(part, InputRule(8))
        assert (images.images[..., 0] == images.images[..., 2]).all()
        flat = images.images[..., 0].reshape(-1, 64).astype(int)
        actual |= {(tuple(row), int(label)) for row, label in zip(flat, images.labels, strict=True)}
    assert actual == expected


def test_parts_are_stratified_and_decided_by_the_seed() -> None:
    labels = [Digits(0).labels(part) for part in PARTS]
    assert [len(part) for part in labels] == [1151, 287, 359]
    assert np.bincount(labels[2]).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    read = [Digits(seed).read("test", InputRule(8)).images for seed in (0, 0, 1)]
    assert np.array_equal(read[0], read[1])
    assert not np.array_equal(read[0], read[2])


def test_larger_canvases_are_resized() -> None:
    assert Digits().read("val", InputRule(28)).images.shape == (287, 28, 28, 3)
