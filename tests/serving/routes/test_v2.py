"""The Open Inference Protocol: Triton's own client gets the library's numbers, in every form a tensor may have."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray

import vitrail
from vitrail.images.canvas import InputRule
from vitrail.images.golden import golden_images, mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Outputs
from vitrail.serving.settings import model_name

from ...servers import Server
from ..conftest import Encode

OUTPUTS = ["probabilities", "logits", "embedding"]


@pytest.fixture(scope="module")
def classifier(model_file: Path) -> Classifier:
    return Classifier(model_file, "cpu")


@pytest.fixture(scope="module")
def name(classifier: Classifier) -> str:
    return model_name(classifier.card)


@pytest.fixture(scope="module")
def canvases() -> NDArray[np.uint8]:
    return np.stack([mosaic(4, seed, 8, 8) for seed in range(7)])


@pytest.fixture(scope="module")
def tritons(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.url.removeprefix("http://"), concurrency=4) as one:
        yield one


def pixels(images: NDArray[np.uint8], binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("image", list(images.shape), "UINT8")
    return tensor.set_data_from_numpy(images, binary_data=binary)


def encoded(images: list[bytes], *shape: int) -> triton.InferInput:
    tensor = triton.InferInput("image", list(shape or (len(images),)), "BYTES")
    return tensor.set_data_from_numpy(np.array(images, object).reshape(tensor.shape()))


def assert_same(result: triton.InferResult, expected: Outputs) -> None:
    for output in OUTPUTS:
        np.testing.assert_allclose(result.as_numpy(output), getattr(expected, output), atol=1e-5)


def test_health_and_metadata(tritons: triton.InferenceServerClient, name: str, classifier: Classifier) -> None:
    assert tritons.is_server_live()
    assert tritons.is_server_ready()
    assert tritons.is_model_ready(name)
    assert tritons.is_model_ready(name, "1")
    assert not tritons.is_model_ready(name, "2")
    assert not tritons.is_model_ready("other")
    server = tritons.get_server_metadata()
    assert (server["name"], server["version"]) == ("vitrail", vitrail.__version__)
    assert tritons.get_model_metadata(name) == tritons.get_model_metadata(name, "1")
    model = tritons.get_model_metadata(name)
    assert (model["name"], model["versions"]) == (name, ["1"])
    assert model["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    sizes = {output["name"]: output["shape"] for output in model["outputs"]}
    outputs = classifier.predict(np.stack(golden_images(InputRule(8))[:1]))
    assert sizes == {output: [-1, getattr(outputs, output).shape[1]] for output in OUTPUTS}


@pytest.mark.parametrize("version", ["", "1"])
@pytest.mark.parametrize("binary", [True, False])
def test_canvases(
    tritons: triton.InferenceServerClient,
    name: str,
    classifier: Classifier,
    canvases: NDArray[np.uint8],
    binary: bool,
    version: str,
) -> None:
    result = tritons.infer(name, [pixels(canvases, binary)], version, request_id="mine")
    assert_same(result, classifier.predict(canvases))
    payload = result.get_response()
    assert (payload["model_name"], payload["model_version"], payload["id"]) == (name, "1", "mine")


@pytest.mark.parametrize("count", [1, 2, 31, 32])
def test_any_number_of_canvases(
    tritons: triton.InferenceServerClient, name: str, classifier: Classifier, count: int
) -> None:
    images = np.stack([mosaic(4, seed, 8, 8) for seed in range(count)])
    assert_same(tritons.infer(name, [pixels(images)]), classifier.predict(images))


def test_arrays_of_other_sizes_are_resized_in_the_graph(
    tritons: triton.InferenceServerClient, name: str, classifier: Classifier
) -> None:
    """The outputs equal those of a program that runs the file itself."""
    for height, width in [(9, 8), (1, 1), (60, 80), (4096, 2)]:
        images = np.stack([mosaic(4, seed, height, width) for seed in range(3)])
        expected = [classifier.predict(image[None]) for image in images]
        joined = Outputs.joined(expected)
        assert_same(tritons.infer(name, [pixels(images)]), joined)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_encoded_images(
    tritons: triton.InferenceServerClient, name: str, classifier: Classifier, encode: Encode, shape: tuple[int, ...]
) -> None:
    """As in /v1/classify: by the measured path from file to canvas."""
    sent = [encode("JPEG", seed=1), encode("PNG", seed=2), encode("WEBP", seed=3), encode("BMP", seed=4)]
    expected = classifier.predict(np.stack([classifier.fit(image) for image in sent]))
    assert_same(tritons.infer(name, [encoded(sent, *shape)]), expected)


def test_encoded_images_in_json_are_base64(
    client: httpx.Client, name: str, classifier: Classifier, encode: Encode
) -> None:
    sent = [encode("JPEG", seed=1), encode("PNG", seed=2)]
    data = [b64encode(image).decode() for image in sent]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": data}
    response = client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]}).json()
    outputs = {output["name"]: np.reshape(output["data"], output["shape"]) for output in response["outputs"]}
    expected = classifier.predict(np.stack([classifier.fit(image) for image in sent]))
    np.testing.assert_allclose(outputs["logits"], expected.logits, atol=1e-5)


def test_requested_outputs_in_json_and_binary(
    tritons: triton.InferenceServerClient, name: str, classifier: Classifier, canvases: NDArray[np.uint8]
) -> None:
    wanted = [triton.InferRequestedOutput("logits", binary_data=False), triton.InferRequestedOutput("embedding")]
    result = tritons.infer(name, [pixels(canvases)], outputs=wanted)
    expected = classifier.predict(canvases)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["logits", "embedding"]
    assert "data" in result.get_output("logits")
    assert result.get_output("embedding")["parameters"] == {"binary_data_size": expected.embedding.nbytes}
    np.testing.assert_allclose(result.as_numpy("logits"), expected.logits, atol=1e-5)
    np.testing.assert_allclose(result.as_numpy("embedding"), expected.embedding, atol=1e-5)
    assert result.as_numpy("probabilities") is None


@pytest.mark.parametrize("binary", [True, False])
def test_classification_output(
    tritons: triton.InferenceServerClient, name: str, classifier: Classifier, canvases: NDArray[np.uint8], binary: bool
) -> None:
    wanted = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)
    outputs = tritons.infer(name, [pixels(canvases)], outputs=[wanted]).as_numpy("probabilities")
    assert outputs.shape == (len(canvases), 3)
    for row, probabilities in zip(outputs, classifier.predict(canvases).probabilities, strict=True):
        texts = [text.decode() if isinstance(text, bytes) else text for text in row]
        parts = [text.split(":") for text in texts]
        labels = classifier.labels(probabilities, 3)
        assert [(label, int(index)) for _, index, label in parts] == [(one.label, one.index) for one in labels]
        shares = [float(value) for value, _, _ in parts]
        assert shares == pytest.approx([one.probability for one in labels], abs=2e-6)


def test_classification_is_limited_to_the_number_of_classes(
    tritons: triton.InferenceServerClient, name: str, classifier: Classifier, canvases: NDArray[np.uint8]
) -> None:
    wanted = triton.InferRequestedOutput("logits", class_count=1000)
    outputs = tritons.infer(name, [pixels(canvases)], outputs=[wanted]).as_numpy("logits")
    assert outputs.shape == (len(canvases), len(classifier.card.classes))


def test_concurrent_requests_get_their_own_predictions(server: Server, name: str, classifier: Classifier) -> None:
    """Arrays of many sizes, and images for /v1, in the same batches."""
    arrays = [np.stack([mosaic(4, 10 * n + i, 8, 8) for i in range(1 + n % 5)]) for n in range(24)]
    with httpx.Client(base_url=server.url, timeout=60) as shared, ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda array: post_binary(shared, name, array), arrays))
    for array, response in zip(arrays, responses, strict=True):
        head, tail = split(response)
        assert [output["name"] for output in head["outputs"]] == ["logits"]
        logits = np.frombuffer(tail, "<f4").reshape(len(array), -1)
        np.testing.assert_allclose(logits, classifier.predict(array).logits, atol=1e-5)


def binary_body(images: NDArray[np.uint8], **changes: Any) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(images.shape)}
    tensor |= {"parameters": {"binary_data_size": images.nbytes}} | changes
    wanted = [{"name": "logits", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": wanted}).encode()
    kind = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + images.tobytes(), kind


def post_binary(client: httpx.Client, name: str, images: NDArray[np.uint8]) -> httpx.Response:
    content, headers = binary_body(images)
    return client.post(f"/v2/models/{name}/infer", content=content, headers=headers)


def split(response: httpx.Response) -> tuple[dict[str, Any], bytes]:
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    return json.loads(response.content[:length]), response.content[length:]


def test_nested_numbers_and_members_in_any_order(
    client: httpx.Client, name: str, classifier: Classifier, canvases: NDArray[np.uint8]
) -> None:
    """Programs in other languages sort members by name: the data come before their type and shape."""
    expected = classifier.predict(canvases).probabilities
    nested = {"data": canvases.tolist(), "datatype": "UINT8", "name": "image", "shape": list(canvases.shape)}
    flat = {"shape": list(canvases.shape), "name": "image", "datatype": "UINT8", "data": canvases.ravel().tolist()}
    for tensor in (nested, flat, {**nested, "data": flat["data"]}, {**flat, "data": nested["data"]}):
        for indent in (None, 2):
            text = json.dumps({"outputs": [{"name": "probabilities"}], "inputs": [tensor]}, indent=indent)
            response = client.post(
                f"/v2/models/{name}/infer", content=text, headers={"content-type": "application/json"}
            )
            (output,) = response.json()["outputs"]
            np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), expected, atol=1e-6)


def test_many_numbers_are_read_in_pieces(client: httpx.Client, name: str, classifier: Classifier) -> None:
    """Pieces may end at a number, a comma, a bracket or a space."""
    images = np.stack([mosaic(4, seed, 60, 40) for seed in range(4)])
    expected = np.concatenate([classifier.predict(image[None]).logits for image in images])
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(images.shape), "data": images.tolist()}
    for separators in [(",", ":"), (", ", ": "), (",\n\t  ", ":")]:
        text = json.dumps({"inputs": [tensor]}, separators=separators)
        assert len(text) > 65_536
        for shift in range(4):
            content = " " * shift + text
            response = client.post(
                f"/v2/models/{name}/infer", content=content, headers={"content-type": "application/json"}
            )
            logits = response.json()["outputs"][1]
            np.testing.assert_allclose(np.reshape(logits["data"], logits["shape"]), expected, atol=1e-5)


def test_unknown_parameters_are_ignored(
    tritons: triton.InferenceServerClient, name: str, classifier: Classifier, canvases: NDArray[np.uint8]
) -> None:
    result = tritons.infer(name, [pixels(canvases)], priority=3, timeout=1_000_000, parameters={"colour": "blue"})
    assert_same(result, classifier.predict(canvases))


def test_an_array_counts_as_its_images(client: httpx.Client, name: str, canvases: NDArray[np.uint8]) -> None:
    def images() -> float:
        lines = client.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("vitrail_batch_images_sum "))

    before = images()
    split(post_binary(client, name, canvases))
    assert images() == before + len(canvases)


def test_errors_reach_the_client_as_messages(
    tritons: triton.InferenceServerClient, name: str, canvases: NDArray[np.uint8], encode: Encode
) -> None:
    """Triton's client shows the member `error`; one bad image of several fails the request, and is named."""
    calls: list[tuple[Callable[[], Any], str, str]] = [
        (lambda: tritons.infer("other", [pixels(canvases)]), "404", "there is no model 'other'"),
        (lambda: tritons.infer(name, [pixels(canvases)], "2"), "404", "there is no version '2'"),
        (lambda: tritons.get_model_metadata("other"), "404", "there is no model 'other'"),
        (lambda: tritons.get_model_config(name), "404", "is not served here"),
        (lambda: tritons.infer(name, [encoded([encode(), b"no"])]), "415", "image 1: this is not an image"),
        (lambda: tritons.infer(name, [encoded([encode()[:90]])]), "422", "image 0: the PNG image is damaged"),
        (lambda: tritons.infer(name, [pixels(canvases)], request_compression_algorithm="gzip"), "415", "compressed"),
    ]
    for call, status, text in calls:
        with pytest.raises(triton.InferenceServerException, match=text) as caught:
            call()
        assert caught.value.status() == status
