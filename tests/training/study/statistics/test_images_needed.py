"""Images for an accuracy: where a curve and the edges of its band reach the target error."""

import numpy as np
import pytest

from vitrail.training.study.statistics.images_needed import images_needed, next_count

SIZES = np.array([100.0, 400.0, 1600.0])
CURVE = np.array([0.3, 0.2, 0.1])


def test_linear_interpolation_in_log_n() -> None:
    needed = images_needed(0.85, SIZES, CURVE, CURVE - 0.05, CURVE + 0.05)
    assert needed.images == pytest.approx(800)  # half-way in log n
    assert (needed.low, needed.high) == pytest.approx((400, 1600))


def test_a_target_reached_at_the_smallest_size() -> None:
    assert images_needed(0.7, SIZES, CURVE, CURVE - 0.05, CURVE + 0.05).images == 100


def test_a_target_beyond_the_grid_is_none() -> None:
    needed = images_needed(0.92, SIZES, CURVE, CURVE - 0.05, CURVE + 0.05)
    assert (needed.images, needed.high) == (None, None)
    assert needed.low == pytest.approx(400 * 4**0.7)
    assert images_needed(0.99, SIZES, CURVE, CURVE - 0.05, CURVE + 0.05).low is None


@pytest.mark.parametrize(
    ("largest", "more"), [(1, 1), (9, 5), (60, 50), (400, 200), (999, 500), (1000, 1000), (60_000, 1000)]
)
def test_the_next_images_are_a_round_number_of_at_most_as_many_again(largest: int, more: int) -> None:
    assert next_count(largest) == more
