"""`vitrail bench forms`: fits that differ in one part, their maps, table and JSON, and usage errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.bench.forms import Fit, Plan, draw, fit_one, parse_form, table, to_json
from vitrail.cli import main
from vitrail.errors import UsageError

PLAN = Plan("digits", 8, 2, None, 60, 64, 0.01, "attention", ("softmax", "window reach=1"), (0,), 32, 2, 4)


@pytest.fixture(scope="module")
def fits() -> list[Fit]:
    return [fit_one(PLAN, form, 0) for form in PLAN.forms]


def test_every_form_learns_and_differs(fits: list[Fit]) -> None:
    assert [fit.form for fit in fits] == list(PLAN.forms)
    assert all(fit.accuracy > 0.3 for fit in fits)  # guessing gives 0.1
    assert fits[0].accuracy != fits[1].accuracy
    assert fits[0].parameters == fits[1].parameters
    assert all(fit.onnx_images_per_second > 0 and fit.images_per_second > 0 for fit in fits)


@pytest.mark.long
def test_fit_is_reproducible(fits: list[Fit]) -> None:
    again = fit_one(PLAN, "softmax", 0)
    assert (again.accuracy, again.train_loss) == (fits[0].accuracy, fits[0].train_loss)


def test_maps_show_the_attended_places(fits: list[Fit], tmp_path: Path) -> None:
    full, window = (np.array(fit.maps) for fit in fits)
    assert full.shape == window.shape == (2, 4, 4, 4)
    np.testing.assert_allclose(window.sum(axis=(2, 3)), 1, atol=1e-3)
    assert (window[:, :, 0] == 0).all()  # the place in the middle is (2, 2): the first row is out of its reach
    assert (full[:, :, 0] > 0).all()
    draw(fits, tmp_path / "maps")
    with Image.open(tmp_path / "maps" / "window.png") as drawn:
        assert drawn.size == (4 * (32 + 6) + 6, 2 * (32 + 6) + 6)


def test_table_has_means_and_deviations(fits: list[Fit]) -> None:
    rows = table([fits[0], Fit(**{**vars(fits[0]), "seed": 1, "accuracy": fits[0].accuracy - 0.2})]).splitlines()
    assert len(rows) == 3
    assert f"{fits[0].accuracy - 0.1:.3f} ± 0.141" in rows[2]
    assert json.loads(to_json(PLAN, fits))["fits"][1]["form"] == "window reach=1"


def test_forms_are_parsed() -> None:
    assert parse_form("relu") == "relu"
    assert parse_form("cosine margin=0.2 scale=20") == {"name": "cosine", "margin": 0.2, "scale": 20}
    with pytest.raises(UsageError, match="is not a form"):
        parse_form("window reach")


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--forms", "softmaxx"], "did you mean softmax"),
        (["--vary", "depth"], "no part of the ViT"),
        (["--forms", "window reach=4"], "larger than the 8×8 grid"),
        (["--json", "no/such/a.json"], "no folder for"),
    ],
)
def test_wrong_use_is_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], reason: str) -> None:
    assert main(["bench", "forms", *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
