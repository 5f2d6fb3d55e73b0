"""Prices: kept in the folder of a study, replaced one by one, refused where they are none."""

from pathlib import Path

import pytest

from vitrail.errors import DataError, UsageError
from vitrail.training.study.prices import PRICES, Prices, keep_prices, read_prices


def test_prices_given_later_replace_only_themselves(tmp_path: Path) -> None:
    keep_prices(tmp_path, Prices(label=0.05, currency="$"))
    keep_prices(tmp_path, Prices(label=0.1, hour=0.4))
    assert read_prices(tmp_path) == Prices(0.1, 0.4, "$")
    keep_prices(tmp_path, Prices(label=0.0))
    assert read_prices(tmp_path) == Prices(0.0, 0.4, "$")


def test_without_prices_nothing_is_written(tmp_path: Path) -> None:
    keep_prices(tmp_path, Prices())
    assert not list(tmp_path.iterdir())
    assert read_prices(tmp_path) == Prices()
    assert not Prices(currency="$").are_given


@pytest.mark.parametrize("amount", [-0.01, float("nan"), float("inf")])
def test_an_amount_that_is_none_is_refused(amount: float) -> None:
    with pytest.raises(UsageError, match="--label-cost is an amount of money"):
        Prices(label=amount)
    with pytest.raises(UsageError, match="--hour-cost is an amount of money"):
        Prices(hour=amount)


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": 3}', '{"label": -1}', '{"label": "cheap"}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / PRICES).write_text(text)
    with pytest.raises(DataError, match=r"prices\.json is damaged"):
        read_prices(tmp_path)
