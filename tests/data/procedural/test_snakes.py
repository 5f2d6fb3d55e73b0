"""Dashed lines: each has room, follows its last one, and does not depend on the batch."""

import numpy as np
import pytest

from vitrail.data.draws import Draws
from vitrail.data.procedural.pathfinder import SIZES
from vitrail.data.procedural.snakes import Snakes, around, lay, moved

RULES = SIZES[0]
COUNT = 30


@pytest.fixture(scope="module")
def snakes() -> Snakes:
    return lay(Draws.of(1, 0, np.arange(COUNT)), RULES)


def test_a_dash_begins_a_gap_ahead_of_the_one_it_follows(snakes: Snakes) -> None:
    for image in range(COUNT):
        index = np.arange(snakes.counts[image])
        previous = RULES.previous(index)
        starts, angles = snakes.starts[image], snakes.angles[image]
        follows = index[previous >= 0]
        before = previous[previous >= 0]
        ahead = moved(starts[before], angles[before], RULES.length + 2 * RULES.margin)
        assert np.allclose(starts[follows], ahead)
        turns = np.abs((angles[follows] - angles[before] + np.pi) % (2 * np.pi) - np.pi)
        assert turns.max() < np.pi / 2 / RULES.continuity
    assert np.allclose(np.linalg.norm(snakes.starts[:, 0] - snakes.starts[:, 1], axis=1), RULES.seed_distance)


def test_other_dashes_are_farther_away_than_the_gap(snakes: Snakes) -> None:
    steps = np.linspace(0, RULES.length, 9)
    for image in range(COUNT):
        count = int(snakes.counts[image])
        starts, angles = snakes.starts[image, :count, None], snakes.angles[image, :count, None]
        points = starts + steps[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=-1)
        assert points.min() >= RULES.padding
        assert points.max() <= RULES.side - 1 - RULES.padding
        apart = np.linalg.norm(points[:, None, :, None] - points[None, :, None], axis=-1).min(axis=(2, 3))
        previous = RULES.previous(np.arange(count))
        neighbours = np.eye(count, dtype=bool)
        neighbours[np.arange(count)[previous >= 0], previous[previous >= 0]] = True
        assert apart[~(neighbours | neighbours.T)].min() > 2 * RULES.margin + 0.5


def test_most_images_get_all_their_distractors_and_no_part_of_one(snakes: Snakes) -> None:
    assert ((snakes.counts - RULES.pair) % RULES.distractor == 0).all()
    assert (snakes.counts >= RULES.pair).all()
    assert snakes.counts.mean() > RULES.pair + 0.7 * (RULES.most - RULES.pair)


def test_the_batch_changes_nothing(snakes: Snakes) -> None:
    few = lay(Draws.of(1, 0, np.array([20, 3])), RULES)
    for row, image in enumerate((20, 3)):
        count = snakes.counts[image]
        assert few.counts[row] == count
        assert np.array_equal(few.starts[row, :count], snakes.starts[image, :count])


def test_distances_from_a_line() -> None:
    down, across, distance = around(np.array([[2.0, 3.0]]), np.array([0.0]), 4, 2)
    beside = {(int(y), int(x)): d for y, x, d in zip(down.flat, across.flat, distance.flat, strict=True)}
    assert beside[2, 3] == beside[2, 5] == beside[2, 7] == 0
    assert beside[4, 6] == beside[0, 6] == 2
    assert beside[2, 8] == 1
    assert beside[3, 2] == pytest.approx(2**0.5)
