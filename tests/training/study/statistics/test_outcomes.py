"""Outcomes: inconsistent shapes are refused, missing runs are left out."""

from typing import Any

import numpy as np
import pytest

from vitrail.errors import DataError
from vitrail.training.study.statistics.outcomes import Outcomes

from .by_sizes import first_sizes

WRONG = np.array([[[[1, 0, 0, 1], [1, 1, 0, 0]], [[0, 0, 0, 1], [1, 1, 1, 1]]]], bool)  # [1, 2, 2, 4]


def outcomes(**changes: Any) -> Outcomes:
    options: dict[str, Any] = {"contenders": ("vit",), "sizes": (10, 20), "seeds": (0, 1), "wrong": WRONG}
    return Outcomes(**options | changes)


def test_shares_are_means_over_seeds() -> None:
    assert outcomes().shares.tolist() == [[[1, 0.5, 0, 0.5], [0.5, 0.5, 0.5, 1]]]
    assert outcomes().runs.tolist() == [[2, 2]]


def test_a_missing_run_is_ignored() -> None:
    some = outcomes(done=np.array([[[True, True], [True, False]]]))
    assert some.runs.tolist() == [[2, 1]]
    assert some.shares[0, 1].tolist() == [0, 0, 0, 1]


def test_a_size_without_runs_has_no_share() -> None:
    assert np.isnan(outcomes(done=np.array([[[True, True], [False, False]]])).shares[0, 1]).all()


def test_the_first_sizes_are_the_smallest() -> None:
    first = first_sizes(outcomes(), 1)
    assert first.sizes == (10,)
    assert first.shares.tolist() == [[[1, 0.5, 0, 0.5]]]


def test_the_first_seeds_keep_their_order() -> None:
    first = outcomes().first_seeds(1)
    assert first.seeds == (0,)
    assert first.shares.tolist() == [[[1, 0, 0, 1], [0, 0, 0, 1]]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contenders": ("vit", "cnn")}, "contenders, sizes and seeds need"),
        ({"done": np.ones((1, 2, 3), bool)}, "finished runs"),
        ({"wrong": WRONG[..., :0]}, "needs test images"),
        ({"sizes": (20, 10)}, "ascending"),
        ({"sizes": (10, 10)}, "different"),
        ({"sizes": (0, 10)}, "positive"),
        ({"seeds": (1, 1)}, "seeds must be different"),
    ],
)
def test_inconsistent_outcomes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        outcomes(**changes)
