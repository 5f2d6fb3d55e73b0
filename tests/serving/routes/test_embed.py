"""POST /v1/embed: the library's vectors, for one image and for several."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.model_file.classifier import Classifier

from ..conftest import Encode

Vector = Callable[[bytes], NDArray[np.float32]]


@pytest.fixture(scope="module")
def vector(model_file: Path) -> Vector:
    model = Classifier(model_file, "cpu")
    return lambda data: model.predict(model.fit(data)[None]).embedding[0]


def test_one_image_as_the_body(client: httpx.Client, encode: Encode, vector: Vector, model_file: Path) -> None:
    image = encode("JPEG")
    response = client.post("/v1/embed", content=image, headers={"content-type": "image/jpeg"})
    assert response.status_code == 200
    body = response.json()
    assert body["model"]["sha256"] == Classifier(model_file, "cpu").sha256
    (prediction,) = body["predictions"]
    assert np.std(prediction["embedding"]) > 0
    assert prediction["embedding"] == pytest.approx(vector(image).tolist(), abs=1e-5)


def test_several_images_keep_their_order_with_errors_in_place(
    client: httpx.Client, encode: Encode, vector: Vector
) -> None:
    good = [encode(seed=seed) for seed in (1, 2)]
    sent = [b"no image", good[0], encode("PNG")[:100], good[1]]
    response = client.post("/v1/embed", files=[("image", data) for data in sent])
    assert response.status_code == 200
    predictions = response.json()["predictions"]
    assert [predictions[place]["error"]["code"] for place in (0, 2)] == ["unsupported_format", "corrupt_image"]
    for place, image in zip((1, 3), good, strict=True):
        assert predictions[place]["embedding"] == pytest.approx(vector(image).tolist(), abs=1e-5)
    assert predictions[1] != predictions[3]


def test_errors_equal_those_of_classify(client: httpx.Client, encode: Encode) -> None:
    requests: list[dict[str, Any]] = [
        {"content": b"no image"},
        {"content": encode()[:100]},
        {"files": [("image", b""), ("image", b"BM")]},
        {"files": [("image", encode())] * 33},
        {"files": {"photo": encode()}},
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"content": encode(), "headers": {"content-type": "text/plain"}},
        {"content": bytes(20_000_001)},
    ]
    codes = []
    for request in requests:
        responses = [client.post(route, **request) for route in ("/v1/embed", "/v1/classify")]
        problems = [{**response.json(), "request_id": None} for response in responses]
        assert problems[0] == problems[1]
        codes.append(problems[0]["code"])
    assert codes == [
        "unsupported_format",
        "corrupt_image",
        "no_good_image",
        "too_many_images",
        "unknown_field",
        "bad_json",
        "unsupported_media_type",
        "body_too_large",
    ]
