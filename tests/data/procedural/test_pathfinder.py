"""Pathfinder: the graph of dashes gives the label, and discs, patches and pixels do not."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vitrail.data.draws import Draws
from vitrail.data.procedural import GENERATORS
from vitrail.data.procedural.pathfinder import SIZES, discs, draw, paint
from vitrail.data.procedural.snakes import Canvas, Snakes, lay, moved

from .shortcuts import bag_of_patches, linear_accuracy, neighbour_accuracy, pixels

RULES = SIZES[0]
COUNT = 160
LABELS = np.arange(COUNT) // 2 % 2
DRAWS = Draws.of(0, 0, np.arange(COUNT))


@pytest.fixture(scope="module")
def snakes() -> Snakes:
    return lay(DRAWS.fork(0), RULES)


@pytest.fixture(scope="module")
def images(snakes: Snakes) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:  # laid once for all tests
        patch.setattr("vitrail.data.procedural.pathfinder.lay", lambda draws, rules: snakes)
        return draw(RULES, DRAWS, LABELS)


def components(starts: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The line of each dash: one that begins a gap ahead of another continues it."""
    ahead = moved(starts, angles, RULES.length + 2 * RULES.margin)
    follows = np.linalg.norm(ahead[:, None] - starts[None], axis=2) < 1e-6
    _, lines = connected_components(coo_array(follows), directed=False)
    return np.asarray(lines)


def test_the_graph_of_dashes_gives_the_label(snakes: Snakes) -> None:
    begins, ends = discs(snakes, RULES, LABELS)
    for image, label in enumerate(LABELS):
        count = snakes.counts[image]
        starts, angles = snakes.starts[image, :count], snakes.angles[image, :count]
        line = components(starts, angles)
        begin = np.linalg.norm(starts - begins[image], axis=1).argmin()
        end = np.linalg.norm(moved(starts, angles, RULES.length) - ends[image], axis=1).argmin()
        assert (line[begin] == line[end]) == bool(label)
        assert np.bincount(line).max() == RULES.dashes


def test_dashes_and_discs_are_painted_where_they_are(snakes: Snakes, images: np.ndarray) -> None:
    rows = np.arange(COUNT)
    for index in (0, 1, RULES.pair - 1):
        middle = np.rint(moved(*snakes.take(rows, np.array(index)), RULES.length / 2)).astype(int)
        assert images[rows, middle[:, 0], middle[:, 1]].min() >= 10
    for point in discs(snakes, RULES, LABELS):
        down, across = np.rint(point).astype(int).T
        assert (images[rows, down, across] == 255).all()
    assert 0.05 < (images > 128).mean() < 0.25


def test_both_classes_have_the_same_snakes_and_different_discs(snakes: Snakes) -> None:
    apart, connected = (discs(snakes, RULES, np.full(COUNT, label)) for label in (0, 1))
    assert np.array_equal(apart[0], connected[0])
    distance = [np.linalg.norm(begin - end, axis=1) for begin, end in (apart, connected)]
    assert np.abs(distance[0] - distance[1]).max() <= RULES.margin
    assert (np.linalg.norm(apart[1] - connected[1], axis=1) > 1).all()


def test_discs_tell_nothing(snakes: Snakes) -> None:
    assert told_by_discs(snakes, LABELS) < 0.5 + 0.1


def test_pixels_and_patches_tell_nothing(images: np.ndarray) -> None:
    assert linear_accuracy(pixels(images), LABELS) < 0.5 + 0.1
    assert linear_accuracy(bag_of_patches(images), LABELS) < 0.5 + 0.1


@pytest.mark.long
def test_of_many_images_discs_pixels_and_patches_tell_nothing() -> None:
    draws, labels = Draws.of(1, 0, np.arange(2_000)), np.arange(2_000) % 2
    snakes = lay(draws.fork(0), RULES)
    assert told_by_discs(snakes, labels) < 0.5 + 0.04
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrail.data.procedural.pathfinder.lay", lambda draws, rules: snakes)
        images = draw(RULES, draws, labels)
    assert linear_accuracy(pixels(images), labels) < 0.5 + 0.04
    assert linear_accuracy(bag_of_patches(images), labels) < 0.5 + 0.04


def told_by_discs(snakes: Snakes, labels: np.ndarray) -> float:
    """The accuracy of the best of three: from places of discs, an image of discs alone, and their distance."""
    begin, end = discs(snakes, RULES, labels)
    ink = np.zeros((len(labels), RULES.side, RULES.side))
    for point in (begin, end):
        paint(ink, np.arange(len(labels)), point, np.zeros(len(labels)), 0, RULES.disc)
    return max(
        linear_accuracy(np.hstack([begin, end]), labels),
        linear_accuracy(pixels(ink), labels),
        neighbour_accuracy(np.linalg.norm(begin - end, axis=1)[:, None], labels),
    )


def test_without_the_choice_of_pairs_distances_would_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Canvas, "_is_telling", lambda self, rows: np.zeros(len(rows), np.bool_))
    begin, apart = discs(snakes := lay(DRAWS.fork(0), RULES), RULES, np.zeros(COUNT, np.int64))
    _, connected = discs(snakes, RULES, np.ones(COUNT, np.int64))
    own, other = (np.linalg.norm(end - begin, axis=1) for end in (connected, apart))
    assert (np.abs(own - other) > RULES.margin).mean() > 0.5
    assert other.std() > own.std()


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in GENERATORS if name.startswith("pathfinder")])
def test_every_size_finds_room(name: str) -> None:
    images = GENERATORS[name].draw(Draws.of(0, 0, np.arange(4)), np.arange(4) % 2)
    assert images.max(axis=(1, 2)).tolist() == [255] * 4
    assert (images > 128).mean() > 0.02
