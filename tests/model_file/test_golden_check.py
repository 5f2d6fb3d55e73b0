"""The golden check: it passes where the file was made, and names the part that differs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrail.cli import main
from vitrail.errors import ModelError
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import check_golden

Edit = Callable[[Callable[[dict[str, Any]], None]], Path]


def raise_logit(image: int) -> Callable[[dict[str, Any]], None]:
    def change(card: dict[str, Any]) -> None:
        card["golden"]["logits"][image][1] += 0.01

    return change


def stretch_embedding(card: dict[str, Any]) -> None:
    card["golden"]["embedding_lengths"][0] *= 1.001


def heat(card: dict[str, Any]) -> None:
    card["calibration"]["temperature"] *= 1.1


def test_it_passes_where_the_file_was_made(model_file: Path) -> None:
    model = Classifier(model_file, "cpu")
    check = check_golden(model)
    assert check.passed
    logits = check.parts[0]
    assert 0 <= logits.worst <= logits.allowed == pytest.approx(1e-4 * np.std(model.card.golden.logits), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (raise_logit(3), "logits of canvases"),
        (raise_logit(4), "logits of an image resized in the graph"),
        (stretch_embedding, "embedding"),
        (heat, "probabilities"),
    ],
)
def test_it_names_the_one_part_that_differs(edited: Edit, change: Callable[[dict[str, Any]], None], part: str) -> None:
    check = check_golden(Classifier(edited(change), "cpu"))
    assert [part.name for part in check.parts if not part.passed] == [part]
    assert check.differences.startswith(f"{part} by ")


def test_verify_names_the_part_that_differs(edited: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(edited(raise_logit(4)))]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "DIFFERS on CPUExecutionProvider" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["ok", "DIFFERS", "ok", "ok"]
    assert "resized in the graph: off by 1.00e-02" in lines[2]


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["golden"].update(recipe="mosaic-2"),
        lambda card: card["golden"].update(logits=card["golden"]["logits"][:2]),
        lambda card: card["golden"].update(embedding_lengths=[1.0]),
    ],
)
def test_golden_outputs_that_cannot_be_compared_are_an_error(
    edited: Edit, change: Callable[[dict[str, Any]], None]
) -> None:
    with pytest.raises(ModelError):
        check_golden(Classifier(edited(change), "cpu"))
