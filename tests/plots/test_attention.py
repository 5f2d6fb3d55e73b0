"""Attention weights: rollout and mean distances, in cases with known results."""

import numpy as np
import pytest

from vitrail.plots.attention import distances, mean_distance, rollout, to_shares


def stacked(*layers: np.ndarray) -> np.ndarray:
    """Layers of one head each, [layers, 1, T, T]."""
    return np.stack(layers).astype(np.float32)[:, None]


def test_attention_to_itself_has_an_identity_rollout() -> None:
    itself = stacked(np.eye(4), np.eye(4))
    np.testing.assert_array_equal(rollout(itself), np.eye(4))
    np.testing.assert_array_equal(mean_distance(itself, 0, (2, 2)), np.zeros((2, 1)))


def test_rollout_goes_from_the_first_layer_to_the_last() -> None:
    """Place 0 is copied to 1 in the first layer, 1 to 2 in the second: half of a half arrives."""
    first, second = np.eye(3), np.eye(3)
    first[1], second[2] = (1, 0, 0), (0, 1, 0)
    arrived = rollout(stacked(first, second))
    np.testing.assert_allclose(arrived, [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
    assert rollout(stacked(second, first))[2, 0] == 0


def test_heads_are_averaged_before_the_rollout() -> None:
    swap = np.array([[0, 1], [1, 0]], np.float32)
    arrived = rollout(np.stack([np.eye(2, dtype=np.float32), swap])[None])
    np.testing.assert_allclose(arrived, [[0.75, 0.25], [0.25, 0.75]])


def test_rows_are_normalised_to_sum_to_one() -> None:
    random = np.random.default_rng(0)
    loose = random.random((3, 2, 5, 5)).astype(np.float32)
    loose[0, :, 2] = 0
    np.testing.assert_allclose(rollout(loose).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(to_shares(loose)[0, :, 2], 0)


@pytest.mark.parametrize(("grid", "mean"), [((1, 1), 0), ((1, 2), 0.5), ((2, 2), (2 + 2**0.5) / 4), ((1, 4), 1.25)])
def test_uniform_attention_has_the_mean_distance_of_all_places(grid: tuple[int, int], mean: float) -> None:
    count = grid[0] * grid[1]
    assert distances(grid).mean() == pytest.approx(mean)
    even = np.full((2, 3, count, count), 0.1, np.float32)  # not even shares
    np.testing.assert_allclose(mean_distance(even, 0, grid), np.full((2, 3), mean), rtol=1e-6)


def test_places_are_row_by_row() -> None:
    assert distances((2, 3))[0].tolist() == pytest.approx([0, 1, 2, 1, 2**0.5, 5**0.5])


def test_tokens_without_a_position_are_left_out() -> None:
    """Two tokens before four places: attention to them and from them does not count."""
    weights = np.random.default_rng(0).random((1, 1, 6, 6)).astype(np.float32)
    weights[..., 2:, 2:] = [[0.0, 0.2, 0.0, 0.0], [0.3, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.1], [0.0, 0.0, 0.0, 0.0]]
    assert mean_distance(weights, 2, (2, 2))[0, 0] == pytest.approx(1)  # the last place looks at no place
