"""A model file in memory: its answers, its golden check, its provider, and files that are none."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from vitrail import images
from vitrail.card import METADATA_KEY, InputRule
from vitrail.classifier import Classifier
from vitrail.data import Digits
from vitrail.errors import ModelError, ProviderError, UsageError
from vitrail.runtime import has_nvidia_driver

Edit = Callable[[Callable[[dict], None]], Path]


@pytest.fixture(scope="module")
def model(model_file: Path) -> Classifier:
    return Classifier(model_file, "cpu")


@pytest.fixture
def edited(model_file: Path, tmp_path: Path) -> Edit:
    """The model file with its card changed."""

    def edit(change: Callable[[dict], None]) -> Path:
        content = onnx.load(model_file)
        card = json.loads(content.metadata_props[0].value)
        change(card)
        onnx.helper.set_model_props(content, {METADATA_KEY: json.dumps(card)})
        onnx.save(content, tmp_path / "edited.onnx")
        return tmp_path / "edited.onnx"

    return edit


@pytest.fixture
def digits() -> np.ndarray:
    return Digits().read("test", InputRule(8)).images


def png(picture: np.ndarray) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def test_a_batch_is_answered_like_its_pictures_alone(model: Classifier, digits: np.ndarray) -> None:
    together = model.answer(digits[:9])
    alone = [model.answer(digit[None]) for digit in digits[:9]]
    np.testing.assert_allclose(together.logits, np.concatenate([answer.logits for answer in alone]), atol=1e-5)
    np.testing.assert_allclose(together.probabilities.sum(axis=1), 1, atol=1e-5)


def test_labels_come_in_order_with_their_classes(model: Classifier, digits: np.ndarray) -> None:
    probabilities = model.answer(digits[:1]).probabilities[0]
    labels = model.classify(png(digits[0]), top_k=10)
    assert [label.probability for label in labels] == sorted(map(float, probabilities), reverse=True)
    assert [label.label for label in labels] == [str(label.index) for label in labels]
    assert model.classify(png(digits[0]), top_k=3) == labels[:3]


def test_equal_probabilities_keep_the_order_of_the_classes(model: Classifier) -> None:
    assert [label.index for label in model.labels(np.full(10, 0.1, np.float32), 10)] == list(range(10))


@pytest.mark.parametrize("top_k", [0, -1, 11])
def test_top_k_lies_within_the_classes(model: Classifier, digits: np.ndarray, top_k: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 10"):
        model.classify(png(digits[0]), top_k)


def test_pictures_are_fitted_by_the_cards_rule(model: Classifier) -> None:
    photo = png(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
    assert np.array_equal(model.fit(photo), images.fit(photo, model.card.input))


def test_the_golden_check_passes_where_the_file_was_made(model: Classifier) -> None:
    check = model.check_golden()
    assert check.passed
    assert 0 <= check.worst <= check.allowed == pytest.approx(1e-4 * np.std(model.card.golden.logits), rel=1e-3)


def test_the_golden_check_names_the_picture_that_differs(edited: Edit) -> None:
    def change(card: dict) -> None:
        card["golden"]["logits"][3][1] += 0.01

    check = Classifier(edited(change), "cpu").check_golden()
    assert not check.passed
    assert check.picture == 3
    assert check.worst == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["golden"].update(recipe="mosaic-2"),
        lambda card: card["golden"].update(logits=card["golden"]["logits"][:2]),
    ],
)
def test_golden_answers_that_cannot_be_compared_are_an_error(edited: Edit, change: Callable[[dict], None]) -> None:
    with pytest.raises(ModelError):
        Classifier(edited(change), "cpu").check_golden()


def test_a_card_of_another_format_stops_the_load(edited: Edit) -> None:
    with pytest.raises(ModelError, match="format 99"):
        Classifier(edited(lambda card: card.update(format=99)))


def test_files_that_are_no_models_are_refused(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "half.onnx").write_bytes(model_file.read_bytes()[: model_file.stat().st_size // 2])
    content = onnx.load(model_file)
    del content.metadata_props[:]
    onnx.save(content, tmp_path / "bare.onnx")
    for name, reason in (
        ("nowhere.onnx", "there is no model file"),
        ("text.onnx", "is not an ONNX file"),
        ("half.onnx", "is not an ONNX file"),
        ("bare.onnx", "has no vitrail card"),
    ):
        with pytest.raises(ModelError, match=reason):
            Classifier(tmp_path / name)


@pytest.mark.skipif(has_nvidia_driver(), reason="there is an NVIDIA GPU on this machine, so it can be asked for")
def test_a_gpu_asked_for_by_name_and_missing_is_an_error(model_file: Path) -> None:
    with pytest.raises(ProviderError, match="cuda"):
        Classifier(model_file, "cuda")
    assert Classifier(model_file, "auto").provider == "CPUExecutionProvider"


def test_an_unknown_provider_lists_the_known_ones(model_file: Path) -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda"):
        Classifier(model_file, "npu")  # type: ignore[arg-type]
