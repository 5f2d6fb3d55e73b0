"""Regression: figures as scikit-learn has them."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from vitrail.tasks import Regression

from ..figures import metrics


def test_regression_metrics_match_scikit_learn_at_any_scale() -> None:
    random = np.random.default_rng(1)
    targets = random.normal((0, 1e4), (2, 1e-2), (300, 2))
    predictions = targets + random.normal(0, (0.5, 5e-3), (300, 2))
    results = metrics(Regression().evaluate(predictions, targets, ("height", "weight")))
    for i, name in enumerate(("height", "weight")):
        assert results[f"MAE of {name}"][0] == pytest.approx(
            mean_absolute_error(targets[:, i], predictions[:, i]), rel=1e-6
        )
        assert results[f"R² of {name}"][0] == pytest.approx(r2_score(targets[:, i], predictions[:, i]), rel=1e-4)
        value, low, high = results[f"RMSE of {name}"]
        assert value == pytest.approx(np.sqrt(np.mean((predictions - targets)[:, i] ** 2)), rel=1e-6)
        assert low < value < high
