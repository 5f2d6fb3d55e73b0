"""POST /v1/classify: the same numbers as the library, for one image and for several."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from bentoml import AsyncHTTPClient, SyncHTTPClient
from PIL import Image

from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Label

from ...servers import Server
from ..conftest import Encode


@pytest.fixture(scope="module")
def classifier(model_file: Path) -> Classifier:
    return Classifier(model_file, "cpu")


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("image", ("image", data, "application/octet-stream")) for data in images]


def labels_of(prediction: dict[str, Any]) -> list[tuple[str, int]]:
    return [(label["label"], label["index"]) for label in prediction["labels"]]


def assert_same(prediction: dict[str, Any], expected: list[Label]) -> None:
    assert labels_of(prediction) == [(label.label, label.index) for label in expected]
    shares = [label["probability"] for label in prediction["labels"]]
    assert shares == pytest.approx([label.probability for label in expected], abs=1e-6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_one_image_as_a_file_field(client: httpx.Client, classifier: Classifier, encode: Encode, kind: str) -> None:
    image = encode(kind)
    response = client.post("/v1/classify", files=files(image))
    assert response.status_code == 200
    body = response.json()
    assert body["model"]["sha256"] == classifier.sha256
    assert len(body["predictions"]) == 1
    assert_same(body["predictions"][0], classifier.classify(image))


@pytest.mark.parametrize("declared", ["image/png", "image/gif", "application/octet-stream", None])
def test_one_image_as_the_body_with_any_media_type(
    client: httpx.Client, classifier: Classifier, encode: Encode, declared: str | None
) -> None:
    headers = {"content-type": declared} if declared else {}
    response = client.post("/v1/classify", content=encode("PNG"), headers=headers)
    assert response.status_code == 200
    assert_same(response.json()["predictions"][0], classifier.classify(encode("PNG")))


def test_several_images_keep_their_order_with_errors_in_place(
    client: httpx.Client, classifier: Classifier, encode: Encode
) -> None:
    good = [encode(seed=seed) for seed in (1, 2, 3)]
    sent = [good[0], b"no image", good[1], encode("JPEG")[:300], good[2]]
    response = client.post("/v1/classify", files=files(*sent), params={"top_k": 3})
    assert response.status_code == 200
    predictions = response.json()["predictions"]
    for place, image in zip((0, 2, 4), good, strict=True):
        assert_same(predictions[place], classifier.classify(image, 3))
    errors = [predictions[place]["error"] for place in (1, 3)]
    assert [(error["status"], error["code"]) for error in errors] == [
        (415, "unsupported_format"),
        (422, "corrupt_image"),
    ]


def test_all_bad_images_return_422(client: httpx.Client) -> None:
    response = client.post("/v1/classify", files=files(b"", b"BM and no more"))
    assert response.status_code == 422
    assert response.json()["code"] == "no_good_image"
    assert [error["code"] for error in response.json()["errors"]] == ["unsupported_format", "corrupt_image"]


def test_at_most_32_images_are_accepted(client: httpx.Client, encode: Encode) -> None:
    images = [encode(size=(8, 8))] * 33
    assert len(client.post("/v1/classify", files=files(*images[:32])).json()["predictions"]) == 32
    response = client.post("/v1/classify", files=files(*images))
    assert (response.status_code, response.json()["code"]) == (413, "too_many_images")


def test_top_k(client: httpx.Client, classifier: Classifier, encode: Encode) -> None:
    classes = len(classifier.card.classes)
    cases: list[tuple[dict[str, int], int]] = [({}, min(5, classes)), ({"top_k": 1}, 1), ({"top_k": classes}, classes)]
    for params, count in cases:
        response = client.post("/v1/classify", files=files(encode()), params=params)
        assert len(response.json()["predictions"][0]["labels"]) == count
    whole = response.json()["predictions"][0]["labels"]
    assert sum(label["probability"] for label in whole) == pytest.approx(1, abs=1e-5)
    for top_k in ["0", str(classes + 1), "-1", "x", "", "1.0", "٣", "9" * 5000]:
        response = client.post("/v1/classify", files=files(encode()), params={"top_k": top_k})
        assert (response.status_code, response.json()["code"]) == (400, "bad_top_k")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(client: httpx.Client, encode: Encode, orientation: int) -> None:
    """A photo rotated by EXIF gets the prediction of the file with rotated pixels."""
    turn = Image.Transpose
    turns = [None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_270,
             turn.TRANSVERSE, turn.ROTATE_90]  # fmt: skip
    image = Image.open(io.BytesIO(encode()))
    exif = Image.Exif()
    exif[0x0112] = orientation
    tagged, turned = io.BytesIO(), io.BytesIO()
    image.save(tagged, "PNG", exif=exif)
    method = turns[orientation - 1]
    (image if method is None else image.transpose(method)).save(turned, "PNG")
    responses = [client.post("/v1/classify", files=files(file.getvalue())) for file in (tagged, turned)]
    assert responses[0].json() == responses[1].json()


def test_concurrent_requests_get_their_own_predictions(server: Server, classifier: Classifier, encode: Encode) -> None:
    images = [encode(seed=seed) for seed in range(1, 25)]
    with httpx.Client(base_url=server.url, timeout=30) as shared, ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(lambda data: shared.post("/v1/classify", files=files(data)), images))
    for image, response in zip(images, responses, strict=True):
        assert response.status_code == 200
        assert_same(response.json()["predictions"][0], classifier.classify(image))


def test_bentoml_client_classifies(server: Server, classifier: Classifier, encode: Encode, tmp_path: Path) -> None:
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for seed, path in enumerate(paths):
        path.write_bytes(encode(seed=seed))
    with SyncHTTPClient(server.url) as bento:
        response = bento.classify(image=paths)
    for path, prediction in zip(paths, response["predictions"], strict=True):
        assert_same(prediction, classifier.classify(path.read_bytes()))


async def classified(url: str, path: Path) -> Any:
    async with AsyncHTTPClient(url) as bento:
        return await bento.classify(image=[path])


def test_async_bentoml_client_classifies(
    server: Server, classifier: Classifier, encode: Encode, tmp_path: Path
) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(encode())
    response = asyncio.run(classified(server.url, path))
    assert_same(response["predictions"][0], classifier.classify(path.read_bytes()))


def test_abstain(client: httpx.Client, classifier: Classifier, encode: Encode) -> None:
    """The threshold is the card's; labels are still returned."""
    assert classifier.card.abstention is not None
    sent = [encode(seed=seed) for seed in range(6)]
    rows = [classifier.predict(classifier.fit(image)[None]).probabilities[0] for image in sent]
    expected = [float(row.max()) < classifier.card.abstention.threshold for row in rows]
    response = client.post("/v1/classify", files=files(*sent), params={"abstain": "true"})
    assert [one["none_of_these"] for one in response.json()["predictions"]] == expected
    assert all(one["labels"] for one in response.json()["predictions"])
    assert "none_of_these" not in client.post("/v1/classify", files=files(sent[0])).json()["predictions"][0]
    refused = client.post("/v1/classify", files=files(sent[0]), params={"abstain": "maybe"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_abstain")
