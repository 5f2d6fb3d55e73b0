"""Cached images: each is decoded once and equals that of its source."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitrail.data import Digits, Folders, Part, Samples, image_store
from vitrail.data.forms import OwnShape
from vitrail.data.source import PARTS
from vitrail.images.canvas import InputRule
from vitrail.training.study.image_cache import CachedDataModule, CachedSource, SourceSubset

from ...sources import split

RULE = InputRule(8)


class Counting(Digits):
    """Records decoded images."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded: list[int] = []

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        assert chosen is not None
        self.decoded += chosen.tolist()
        return super().read(part, rule, chosen)


def test_no_image_is_decoded_twice_and_each_equals_its_source() -> None:
    source = Counting()
    cached = CachedSource(source)
    for chosen in ([5, 9, 2], [2, 5], [1, 9, 30], [], [30, 1]):
        indices = np.array(chosen, np.int64)
        actual, expected = cached.read("train", RULE, indices), Digits().read("train", RULE, np.array([*chosen, 0]))
        assert np.array_equal(actual.images, expected.images[:-1])
        assert np.array_equal(actual.labels, expected.labels[:-1])
        assert actual.names == expected.names[:-1]
    assert source.decoded == [5, 9, 2, 1, 30]


def test_parts_and_rules_are_cached_separately() -> None:
    cached = CachedSource(Digits())
    first = np.array([0])
    assert cached.read("train", RULE, first).names != cached.read("val", RULE, first).names
    assert cached.read("train", InputRule(4), first).images.shape == (1, 4, 4, 3)
    assert cached.read("train", RULE, first).images.shape == (1, 8, 8, 3)


def test_a_whole_part_is_read_by_default() -> None:
    images = CachedSource(Digits()).read("test", RULE)
    assert np.array_equal(images.labels, Digits().labels("test"))
    assert CachedSource(Digits()).fingerprint == Digits().fingerprint


def test_a_subset_has_images_of_every_class() -> None:
    few, whole = SourceSubset(Digits(), 30), Digits()
    for part in PARTS:
        labels, indices = few.labels(part), few.indices[part]
        assert len(labels) == 30
        assert set(labels) == set(range(10))
        assert np.array_equal(few.read(part, RULE).names, whole.read(part, RULE, indices).names)
        assert few.read(part, RULE, np.array([3])).names == whole.read(part, RULE, indices[[3]]).names
        assert np.array_equal(few.whole(part, 3), whole.whole(part, int(indices[3])))
    assert SourceSubset(whole, 10**6).read("test", RULE).names == whole.read("test", RULE).names


def test_images_to_crop_are_decoded_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(image_store, "usable_bytes", lambda folder: 2**40)
    decoded: list[bytes] = []

    def counting(form: OwnShape, data: bytes) -> NDArray[np.uint8]:
        decoded.append(data)
        return of_file(form, data)

    of_file = OwnShape.of_file
    monkeypatch.setattr(OwnShape, "of_file", counting)
    split(tmp_path / "images")
    shared, batches = CachedSource(Folders(tmp_path / "images")), []
    for crop in (None, {"scale": [0.2, 0.8]}, {"scale": [0.2, 0.8]}):
        data = CachedDataModule(shared, size=4, crop=crop, batch_size=24)
        data.decode()
        torch.manual_seed(0)
        loader = data.train_dataloader()
        assert loader.num_workers == 0  # none may be started in a process of the pool
        batches.append(next(iter(loader))[0])
    assert len(decoded) == len(set(decoded)) == 24
    assert torch.equal(batches[1], batches[2])
    assert not torch.equal(batches[0], batches[1])
