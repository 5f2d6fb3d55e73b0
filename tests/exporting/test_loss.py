"""The paired bound: known values, and its coverage."""

import numpy as np
import pytest

from vitrail.exporting.loss import Z, loss_bound


def test_the_bound_without_changes_depends_on_the_number_of_images() -> None:
    """With no discordant image, Tango's bound is z² / (n + z²)."""
    for images in (10, 2000):
        assert loss_bound(0, 0, images) == pytest.approx(Z**2 / (images + Z**2), rel=1e-6)


def test_the_bound_lies_above_the_loss_and_falls_with_more_images() -> None:
    assert 0.005 < loss_bound(10, 0, 2000) < loss_bound(10, 0, 1000)
    assert loss_bound(5, 5, 2000) > loss_bound(5, 10, 2000)
    assert loss_bound(0, 40, 2000) < 0
    assert loss_bound(7, 0, 7) == 1.0


@pytest.mark.parametrize(("lost", "won", "images"), [(0.01, 0.005, 2000), (0.003, 0.003, 2000), (0.05, 0.02, 200)])
def test_it_holds_in_95_of_100_draws(lost: float, won: float, images: int) -> None:
    random = np.random.default_rng(0)
    draws = random.multinomial(images, [lost, won, 1 - lost - won], 1500)
    holds = np.mean([loss_bound(int(a), int(b), images) >= lost - won for a, b, _ in draws])
    assert 0.93 < holds < 0.98
