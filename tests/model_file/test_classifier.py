"""A model file in memory: its predictions, its provider, and files that are not models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from vitrail import images
from vitrail.data import Digits
from vitrail.errors import ModelError, ProviderError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier
from vitrail.runtime.providers import Provider, has_nvidia_driver


@pytest.fixture(scope="module")
def model(model_file: Path) -> Classifier:
    return Classifier(model_file, "cpu")


@pytest.fixture
def digits() -> np.ndarray:
    return Digits().read("test", InputRule(8)).images


def png(image: np.ndarray) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_a_batch_is_predicted_like_its_images_alone(model: Classifier, digits: np.ndarray) -> None:
    together = model.predict(digits[:9])
    alone = [model.predict(digit[None]) for digit in digits[:9]]
    np.testing.assert_allclose(together.logits, np.concatenate([outputs.logits for outputs in alone]), atol=1e-5)
    np.testing.assert_allclose(together.probabilities.sum(axis=1), 1, atol=1e-5)


def test_labels_come_in_order_with_their_classes(model: Classifier, digits: np.ndarray) -> None:
    probabilities = model.predict(digits[:1]).probabilities[0]
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


def test_images_are_fitted_by_the_cards_rule(model: Classifier) -> None:
    photo = png(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
    assert np.array_equal(model.fit(photo), images.fit(photo, model.card.input))


def test_a_card_of_another_format_stops_the_load(edited: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="format 99"):
        Classifier(edited(lambda card: card.update(format=99)))


def test_files_that_are_no_models_are_refused(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "half.onnx").write_bytes(model_file.read_bytes()[: model_file.stat().st_size // 2])
    content = onnx.load(model_file)
    content.graph.doc_string = "mine"
    onnx.save(content, tmp_path / "altered.onnx")
    del content.metadata_props[:]
    onnx.save(content, tmp_path / "bare.onnx")
    for name, reason in (
        ("nowhere.onnx", "there is no model file"),
        ("text.onnx", "is not an ONNX file"),
        ("half.onnx", "is not an ONNX file"),
        ("bare.onnx", "has no vitrail card"),
        ("altered.onnx", "was altered after"),
    ):
        with pytest.raises(ModelError, match=reason):
            Classifier(tmp_path / name)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}{list(images.shape)}",
)
def test_arrays_that_are_no_images_are_refused_with_the_reason(model: Classifier, images: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"takes uint8 images \[N, height, width, 3\]"):
        model.predict(images)


def test_a_prediction_below_the_threshold_is_none_of_these(model: Classifier) -> None:
    assert model.card.abstention is not None
    threshold = model.card.abstention.threshold
    assert 0.1 < threshold < 1
    for probability, expected in ((threshold - 0.01, True), (threshold + 0.01, False)):
        rest = (1 - probability) / 9
        assert model.none_of_these(np.array([probability, *[rest] * 9], np.float32)) is expected


@pytest.mark.skipif(has_nvidia_driver(), reason="there is an NVIDIA GPU on this machine, so it can be requested")
def test_a_missing_gpu_requested_by_name_is_an_error(model_file: Path) -> None:
    providers: tuple[Provider, ...] = ("cuda", "tensorrt")
    for provider in providers:
        with pytest.raises(ProviderError, match=f"'{provider}' was requested, but "):
            Classifier(model_file, provider)
    assert Classifier(model_file, "auto").provider == "CPUExecutionProvider"


def test_an_unknown_provider_lists_the_known_ones(model_file: Path) -> None:
    with pytest.raises(UsageError, match="auto, cpu, openvino, openvino-bf16, cuda, cuda-tf32, tensorrt"):
        Classifier(model_file, "npu")  # type: ignore[arg-type]
