"""The comparison of OpenVINO with onnxruntime on test images, and its verdict."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.data import Samples
from vitrail.exporting import openvino
from vitrail.exporting.openvino import compare_in_openvino, comparison, verdict
from vitrail.model_file.card import Card
from vitrail.model_file.classifier import Classifier
from vitrail.runtime import openvino as runtime

# Onnxruntime's and OpenVINO's probabilities of six images, and the labels.
OURS = np.array([[0.9, 0.1], [0.6, 0.4], [0.505, 0.495], [0.496, 0.504], [0.2, 0.8], [0.1, 0.9]], np.float32)
THEIRS = np.array([[0.9, 0.1], [0.58, 0.42], [0.499, 0.501], [0.504, 0.496], [0.21, 0.79], [0.1, 0.9]], np.float32)
LABELS = np.array([0, 0, 0, 0, 1, 0])


def samples(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Samples:
    return Samples(images, labels, ("",) * len(labels))


BLACK = samples(np.zeros([1, 8, 8, 3], np.uint8), np.zeros(1, np.int64))


def test_the_two_runtimes_are_compared_image_by_image() -> None:
    compared = comparison(OURS, THEIRS, LABELS, {"1": 2.0, "8": 2.0})
    assert (compared.flips, compared.accuracy.total) == (2, 6)
    assert compared.accuracy.value == pytest.approx(4 / 6)  # the third is lost, the fourth is won
    assert compared.loss == 0
    assert compared.loss_bound > 0.2
    assert compared.flip_margin == pytest.approx(0.01, abs=1e-6)
    assert compared.probability_difference == pytest.approx(0.02, abs=1e-6)
    assert compared.verdict == "33.3% of labels flip, over 1%"


def test_equal_probabilities_are_sound() -> None:
    compared = comparison(OURS, OURS, LABELS, {})
    assert (compared.flips, compared.flip_margin, compared.loss, compared.verdict) == (0, 0.0, 0.0, "sound")


@pytest.mark.parametrize(
    ("loss", "flips", "margin", "reason"),
    [
        (0.005, 0.01, 0.02, "sound"),
        (0.0051, 0.0, 0.0, "may lose 0.51 points of accuracy, over 0.5"),
        (0.0, 0.0, 0.021, "a label flips whose lead was 0.021, over 0.02"),
        (0.02, 0.03, 0.0, "may lose 2.00 points of accuracy, over 0.5, 3.0% of labels flip, over 1%"),
    ],
)
def test_every_bound_that_is_not_kept_is_named(loss: float, flips: float, margin: float, reason: str) -> None:
    assert verdict(loss, flips, margin) == reason


def test_with_many_images_the_bound_of_the_loss_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "MAX_FLIPS", 1.0)
    assert comparison(OURS, THEIRS, LABELS, {}).verdict == "sound"  # none is lost of six
    monkeypatch.setattr(openvino, "ENOUGH", 6)
    assert "may lose" in comparison(OURS, THEIRS, LABELS, {}).verdict


def test_a_file_is_compared_in_bfloat16(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (openvino, runtime):
        monkeypatch.setattr(module, "computes_bf16", lambda: True)
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    labels = Classifier(model_file, "cpu").predict(images).probabilities.argmax(axis=1)
    lines: list[str] = []
    compared = compare_in_openvino(model_file.read_bytes(), 8, samples(images, labels), lines.append)
    assert compared is not None
    assert lines == ["comparing OpenVINO with onnxruntime"]
    assert compared.accuracy.total - compared.flips == round(compared.accuracy.value * compared.accuracy.total)
    assert set(compared.speed) == {"1", "8"}
    assert 0 < compared.probability_difference < 0.1


def test_nothing_is_compared_without_it(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "computes_bf16", lambda: False)
    assert compare_in_openvino(model_file.read_bytes(), 8, BLACK, pytest.fail) is None
    monkeypatch.setattr(openvino, "has_openvino", lambda: False)
    assert compare_in_openvino(model_file.read_bytes(), 8, BLACK, pytest.fail) is None


def test_a_file_that_it_cannot_compile_is_exported_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (openvino, runtime):
        monkeypatch.setattr(module, "computes_bf16", lambda: True)
    lines: list[str] = []
    assert compare_in_openvino(b"no model", 8, BLACK, lines.append) is None
    assert lines[-1].startswith("OpenVINO cannot compile this file: ")


def test_cards_from_before_are_read(model_file: Path) -> None:
    card = Classifier(model_file, "cpu").card
    assert card.openvino is None or card.openvino.verdict
    text = card.to_json()
    assert Card.from_json(text) == card
