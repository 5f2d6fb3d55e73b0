"""`vitrail.load`: predictions of a model file, for images in every form."""

import io
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vitrail
from vitrail.data import Digits
from vitrail.errors import ImageError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.model import BATCH


@pytest.fixture(scope="module")
def model(model_file: Path) -> Iterator[vitrail.Model]:
    with vitrail.load(model_file, "cpu") as model:
        yield model


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    return Digits().read("test", InputRule(8)).images


def encoded(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_every_form_of_an_image_gets_the_same_prediction(
    model: vitrail.Model, model_file: Path, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    data = encoded(digits[0])
    path = tmp_path / "digit.png"
    path.write_bytes(data)
    expected = tuple(Classifier(model_file, "cpu").classify(data))
    grey = digits[0][..., 0]
    opaque = np.dstack([digits[0], np.full((8, 8), 255, np.uint8)])
    for image in (path, str(path), data, bytearray(data), Image.open(path), digits[0], grey, opaque):
        prediction = model.classify(image)
        assert prediction.labels == expected
        assert (prediction.label, prediction.probability) == (expected[0].label, expected[0].probability)
        assert str(prediction).startswith(f"{expected[0].label} {expected[0].probability:.3f}, ")
    assert len(model.classify(data, top_k=3).labels) == 3


def test_many_images_are_predicted_in_order(model: vitrail.Model, digits: NDArray[np.uint8]) -> None:
    many = digits[: 2 * BATCH + 3]
    expected = [model.classify(one).label for one in many]
    for images in (many, list(many), tuple(map(encoded, many))):
        predictions = model.classify(images)
        assert isinstance(predictions, list)
        assert [prediction.label for prediction in predictions] == expected
    assert model.classify([]) == []


def test_an_iterator_is_read_a_batch_at_a_time(model: vitrail.Model, digits: NDArray[np.uint8]) -> None:
    read: list[int] = []

    def endless() -> Iterator[NDArray[np.uint8]]:
        while True:
            read.append(1)
            yield digits[len(read) % 9]

    predictions = model.classify(endless())
    assert not read
    assert next(predictions).label == model.classify(digits[1]).label
    assert len(read) == BATCH


def test_embeddings_equal_those_of_the_file(model: vitrail.Model, model_file: Path, digits: NDArray[np.uint8]) -> None:
    expected = Classifier(model_file, "cpu").predict(digits[:3]).embedding
    embeddings: Any = model.embed(digits[:3])  # one for each image of the array
    np.testing.assert_array_equal(np.stack(embeddings), expected)
    np.testing.assert_allclose(model.embed(digits[0]), expected[0], atol=1e-6)


def test_an_image_of_another_size_is_resized_as_a_file_is(model: vitrail.Model, tmp_path: Path) -> None:
    large = Image.fromarray(np.arange(60 * 90 * 3, dtype=np.uint8).reshape(60, 90, 3))
    path = tmp_path / "large.png"
    large.save(path)
    assert model.classify(large) == model.classify(np.asarray(large)) == model.classify(path)
    assert large.size == (90, 60)
    assert large.getpixel((1, 0)) == (3, 4, 5)  # neither closed nor changed


def test_threads_share_a_model(model: vitrail.Model, digits: NDArray[np.uint8]) -> None:
    expected = [model.classify(one).label for one in digits[:64]]
    with ThreadPoolExecutor(8) as threads:
        assert [label.label for label in threads.map(model.classify, digits[:64])] == expected


def test_anything_but_an_image_is_refused(model: vitrail.Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a path, bytes, a PIL image or a uint8 array; this is int"):
        model.classify([3])
    with pytest.raises(UsageError, match=r"this is float64 \[8, 8, 3\]"):
        model.classify(np.zeros((8, 8, 3)))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"nowhere\.png: cannot be read: No such file"):
        model.classify(tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(ImageError, match=r"text\.png: this is not a"):
        model.classify([tmp_path / "text.png"])
    with pytest.raises(UsageError, match="between 1 and 10"):
        model.classify(np.zeros((8, 8, 3), np.uint8), top_k=11)
    for nothing in (None, 3):
        with pytest.raises(UsageError, match=rf"this is {type(nothing).__name__}"):
            model.classify(nothing)  # type: ignore[call-overload]
        with pytest.raises(UsageError, match=rf"this is {type(nothing).__name__}"):
            list(model.try_classify(nothing))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="takes several images"):
        model.try_classify("photo.jpg")


def test_a_closed_model_is_refused_in_every_form(model_file: Path, digits: NDArray[np.uint8]) -> None:
    with vitrail.load(model_file, "cpu") as model:
        begun = model.classify(iter(digits[: BATCH + 1]))
        next(begun)
    for form in (digits[0], digits[:3], list(digits[:3]), [encoded(digits[0])], []):
        for use in (model.classify, model.embed):
            with pytest.raises(UsageError, match="closed: load it again"):
                use(form)
    with pytest.raises(UsageError, match="closed: load it again"):
        next(model.try_classify([digits[0]]))
    assert len([next(begun) for _ in range(BATCH - 1)]) == BATCH - 1  # of the batch that was computed
    with pytest.raises(UsageError, match="closed: load it again"):
        next(begun)


def test_an_image_that_cannot_be_read_leaves_the_others_their_predictions(
    model: vitrail.Model, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("text")
    given = [digits[0], tmp_path / "text.png", digits[1], tmp_path / "nowhere.png", 3]
    first, text, second, nowhere, number = model.try_classify(given)
    assert [first, second] == model.classify([digits[0], digits[1]])
    assert isinstance(text, ImageError)
    assert str(nowhere) == "cannot be read: No such file or directory"
    assert isinstance(number, UsageError)


def test_an_iterator_gives_all_predictions_before_the_image_that_cannot_be_read(
    model: vitrail.Model, digits: NDArray[np.uint8]
) -> None:
    results = model.classify(iter([digits[0], b"text", digits[1]]))
    assert next(results).label == model.classify(digits[0]).label
    with pytest.raises(ImageError):
        next(results)


def test_importing_vitrail_is_cheap_and_gives_every_public_name() -> None:
    code = (
        "import sys, vitrail\n"
        "heavy = {'torch', 'numpy', 'PIL', 'onnxruntime', 'timm'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "assert set(vitrail.__all__) <= set(dir(vitrail))\n"
        "vitrail.load\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(vitrail, name) is not None for name in vitrail.__all__)
    with pytest.raises(AttributeError, match="no attribute 'classify'"):
        vitrail.classify  # noqa: B018
