"""Procedural sets: each image depends on seed, part and index alone, and classes are equally frequent."""

import pickle

import numpy as np
import pytest

from vitrail.data import Procedural, open_source
from vitrail.data.procedural import GENERATORS
from vitrail.data.procedural.generator import COUNTS
from vitrail.data.source import PARTS
from vitrail.images.canvas import InputRule

FAST = ("shapes", "same-different", "pathfinder-32-6")
RULE = InputRule(32)


@pytest.mark.parametrize("name", FAST)
def test_an_image_is_the_same_alone_and_in_any_batch(name: str) -> None:
    source = open_source(name, 3)
    chosen = np.array([4_999, 7, 4_984, 8])
    samples = source.read("val", RULE, chosen)
    assert samples.names == ("val 4999", "val 7", "val 4984", "val 8")
    assert samples.labels.tolist() == source.labels("val")[chosen].tolist()
    assert samples.labels.tolist() == source.targets("val", RULE, chosen).tolist()
    for image, index in zip(samples.images[:1], chosen[:1], strict=True):
        assert np.array_equal(source.whole("val", int(index)), image)
        assert image.std() > 5


def test_sources_go_to_other_processes() -> None:
    source = open_source("shapes", 3)
    again = pickle.loads(pickle.dumps(source))
    assert again.fingerprint == source.fingerprint
    assert np.array_equal(again.whole("test", 9), source.whole("test", 9))


@pytest.mark.parametrize("name", FAST[:2])
def test_seeds_and_parts_share_no_image(name: str) -> None:
    some = np.arange(60)
    images = [open_source(name, seed).read(part, RULE, some).images for seed in (0, 1) for part in PARTS]
    assert len({image.tobytes() for batch in images for image in batch}) == 6 * 60


@pytest.mark.parametrize("name", GENERATORS)
def test_classes_are_equally_frequent_in_every_part(name: str) -> None:
    source = open_source(name, 0)
    assert isinstance(source, Procedural)
    for part, count in COUNTS.items():
        assert set(np.bincount(source.labels(part))) == {count // len(source.classes)}


def test_contents_tell_images_sets_and_seeds_apart() -> None:
    sources = [open_source(name, seed) for name in FAST for seed in (0, 1)]
    keys = np.concatenate([source.contents(part).images for source in sources for part in PARTS])
    assert len(np.unique(keys)) == len(keys) == 6 * 30_000
    assert len({source.fingerprint for source in sources}) == 6
    again = open_source("shapes", 1)
    assert again.fingerprint == sources[1].fingerprint
    assert np.array_equal(again.contents("test").images, sources[1].contents("test").images)


# Pinned so that nobody changes what is drawn without raising the generator's version.
SUMS = {
    "shapes": [145_432, 120_568, 69_805],
    "same-different": [150_464, 136_448, 171_904],
    "pathfinder-32-6": [14_632, 14_627, 16_424],
}


@pytest.mark.parametrize("name", FAST)
def test_what_is_drawn_is_pinned(name: str) -> None:
    assert GENERATORS[name].version == 1
    images = open_source(name, 0).read("test", RULE, np.arange(3)).images[..., 0]
    assert images.sum(axis=(1, 2)).tolist() == pytest.approx(SUMS[name], abs=4)
