"""Numbers of each cell: means of known pixels, figures over known cells as scikit-learn has them, payload and text."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score

from vitrail.tasks import DenseRegression
from vitrail.tasks.dense_regression.predictions import cell_values

from ..figures import metrics


def test_a_cell_has_the_mean_of_its_known_pixels() -> None:
    one = np.arange(16, dtype=np.float32).reshape(4, 4)
    other = one.copy()
    other[0, 0] = np.nan  # of cell 0, 0, of which three are known
    other[:2, 2:] = np.nan  # all of cell 0, 1
    other[2, :2] = np.nan  # half of cell 1, 0
    maps = np.stack([one, other])[None]
    expected = [[[[2.5, 10 / 3], [4.5, np.nan]], [[10.5, np.nan], [12.5, 12.5]]]]
    np.testing.assert_allclose(cell_values(maps, (2, 2)), expected, rtol=1e-6)
    np.testing.assert_allclose(cell_values(torch.from_numpy(maps), (2, 2), torch.where), expected, rtol=1e-6)


def test_metrics_count_known_cells_alone() -> None:
    random = np.random.default_rng(2)
    targets = random.normal((0, 1e4), (2, 1e-2), (300, 3, 3, 2))
    predictions = targets + random.normal(0, (0.5, 5e-3), targets.shape)
    targets[:100, 0, 0] = np.nan
    targets[5] = np.nan
    results = metrics(DenseRegression().evaluate(predictions, np.moveaxis(targets, -1, 1), ("depth", "height")))
    for i, name in enumerate(("depth", "height")):
        known = ~np.isnan(targets[..., i])
        expected, predicted = targets[..., i][known], predictions[..., i][known]
        assert results[f"MAE of {name}"][0] == pytest.approx(mean_absolute_error(expected, predicted), rel=1e-6)
        assert results[f"R² of {name}"][0] == pytest.approx(r2_score(expected, predicted), rel=1e-4)
        value, low, high = results[f"RMSE of {name}"]
        assert value == pytest.approx(np.sqrt(np.mean((predicted - expected) ** 2)), rel=1e-6)
        assert low < value < high


def test_intervals_resample_images() -> None:
    """Cells of an image that err alike are no more evidence than one of them."""
    random = np.random.default_rng(3)
    errors, target = random.normal(0, 1, (2, 200, 1, 1, 1))
    targets = np.broadcast_to(target, (200, 1, 4, 4))
    of_one = metrics(DenseRegression().evaluate(target + errors, target, ("depth",)))
    of_many = metrics(DenseRegression().evaluate(np.moveaxis(targets, 1, -1) + errors, targets, ("depth",)))
    for name, figures in of_one.items():
        np.testing.assert_allclose(of_many[name], figures, rtol=1e-6)


def test_each_value_has_a_map() -> None:
    task, values = DenseRegression(), np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    payload = task.payload({"values": values}, ("depth", "height"), 1)
    assert payload == {
        "maps": [
            {"name": "depth", "values": [[0, 2, 4], [6, 8, 10]]},
            {"name": "height", "values": [[1, 3, 5], [7, 9, 11]]},
        ]
    }
    assert task.text(payload) == "depth 5 (0 to 10), height 6 (1 to 11)"


def test_the_card_has_at_most_sixteen_cells() -> None:
    assert DenseRegression().golden(np.zeros((5, 3, 3, 2))).shape == (5, 18)
    assert DenseRegression().golden(np.zeros((5, 14, 14, 2))).shape == (5, 32)
