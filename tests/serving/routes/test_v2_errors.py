"""Client errors below /v2: a 400 that describes the first error."""

import json
import struct
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from vitrail.model_file.classifier import Classifier
from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.v2 import tensors
from vitrail.serving.routes.v2.request import ModelOutputs, parse_request
from vitrail.serving.routes.v2.tensors import BadTensor, nested
from vitrail.serving.settings import model_name

from ..conftest import Encode

OFFERED = ModelOutputs(("probabilities", "logits", "embedding"), ("probabilities", "logits"))

LENGTH = "inference-header-content-length"
JSON = {"content-type": "application/json"}
PIXEL: dict[str, Any] = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}
IN_BYTES: dict[str, Any] = {
    "name": "image",
    "datatype": "UINT8",
    "shape": [1, 1, 1, 3],
    "parameters": {"binary_data_size": 3},
}
ENCODED: dict[str, Any] = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}


@pytest.fixture(scope="module")
def address(model_file: Path) -> str:
    return f"/v2/models/{model_name(Classifier(model_file, 'cpu').card)}/infer"


@pytest.fixture(autouse=True)
def nothing_is_broken(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.get("/v2/health/ready").status_code == 200
    assert 'status="500"' not in client.get("/metrics").text


def refused(response: httpx.Response, status: int, code: str) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["error"] == problem["detail"]
    assert len(response.content) < 2000


def request(tensor: dict[str, Any], **others: Any) -> str:
    return json.dumps({"inputs": [tensor], **others})


def but(tensor: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The tensor with changed members; None removes one."""
    return {name: value for name, value in {**tensor, **changes}.items() if value is not None}


BAD_TENSORS = {
    "no input": '{"inputs":[]}',
    "no inputs": "{}",
    "two inputs": json.dumps({"inputs": [PIXEL, PIXEL]}),
    "another name": request(but(PIXEL, name="x")),
    "no name": request(but(PIXEL, name=None)),
    "no shape": request(but(PIXEL, shape=None)),
    "no datatype": request(but(PIXEL, datatype=None)),
    "no data": request(but(PIXEL, data=None)),
    "FP32": request(but(PIXEL, datatype="FP32")),
    "FP32, data first": '{"inputs":[{"data":[0.1,0.2,0.3],"datatype":"FP32","name":"image","shape":[1,1,1,3]}]}',
    "NaN": request(but(PIXEL, data=[1, 2, float("nan")])),
    "1e400": request(PIXEL).replace("3]", "1e400]"),
    "256": request(but(PIXEL, data=[1, 2, 256])),
    "-1": request(but(PIXEL, data=[1, 2, -1])),
    "1.0": request(but(PIXEL, data=[1, 2, 3.0])),
    "true": request(but(PIXEL, data=[1, 2, True])),
    "a text among numbers": request(but(PIXEL, data=[1, 2, "3"])),
    "007": request(PIXEL).replace("2, 3", "2, 007"),
    "many digits": request(PIXEL).replace("2, 3", "2, " + "9" * 5000),
    "more digits": request(PIXEL).replace("2, 3", "2, " + "9" * 500_000),
    "no comma": request(PIXEL).replace("2, 3", "2 3"),
    "two commas": request(PIXEL).replace("2, 3", "2,, 3"),
    "a last comma": request(PIXEL).replace("2, 3", "2, 3,"),
    "too few": request(but(PIXEL, data=[1, 2])),
    "too many": request(but(PIXEL, data=[1, 2, 3, 4])),
    "none": request(but(PIXEL, data=[])),
    "nested otherwise": request(but(PIXEL, data=[[1, 2, 3]])),
    "nested wrongly": request(but(PIXEL, shape=[1, 2, 1, 3], data=[[[[1, 2], [3, 4], [5, 6]]]])),
    "a bracket within": request(PIXEL).replace("2, 3", "2[, 3]"),
    "a number outside": request(but(PIXEL, data=[[[[1, 2, 3]]]])).replace("[[[[1", "[[[1["),
    "never closed": '{"inputs":[{"data":' + "[" * 100_000,
    "never closed, far": '{"inputs":[{"data":' + "[" * 1_000_000,
    "spaces": '{"inputs":[{"data":[' + " " * 1_000_000 + "1]}]}",
    "texts as pixels": request(but(PIXEL, data=["AA=="])),
    "numbers as images": request(but(ENCODED, data=[1])),
    "three sides": request(but(PIXEL, shape=[1, 1, 3])),
    "five sides": request(but(PIXEL, shape=[1, 1, 1, 1, 3])),
    "four colours": request(but(PIXEL, shape=[1, 1, 1, 4], data=[1, 2, 3, 4])),
    "an empty side": request(but(PIXEL, shape=[1, 0, 1, 3], data=[])),
    "no images": request(but(PIXEL, shape=[0, 1, 1, 3], data=[])),
    "a side below zero": request(but(PIXEL, shape=[1, -1, -1, 3])),
    "half a side": request(but(PIXEL, shape=[1, 1.5, 1, 3])),
    "a true side": request(but(PIXEL, shape=[True, 1, 1, 3])),
    "a side of 1e400": request(PIXEL).replace("[1, 1, 1, 3]", "[1, 1e400, 1, 3]"),
    "a long side": request(but(PIXEL, shape=[1, 4097, 1, 3])),
    "a huge side": request(but(PIXEL, shape=[1, 10**30, 1, 3])),
    "many sides": request(but(PIXEL, shape=[1] * 100_000)),
    "elements in two ways": request(but(ENCODED, shape=[1, 2])),
    "fewer elements": request(but(ENCODED, shape=[2])),
    "no elements": request(but(ENCODED, shape=[0], data=[])),
    "bytes that are not there": request(IN_BYTES),
    "both": request(but(PIXEL, parameters={"binary_data_size": 3})),
}


@pytest.mark.parametrize("content", BAD_TENSORS.values(), ids=BAD_TENSORS.keys())
def test_inconsistent_tensors(client: httpx.Client, address: str, content: str) -> None:
    refused(client.post(address, content=content, headers=JSON), 400, "bad_tensor")


def many(members: int) -> str:
    return ",".join(f'"k{number}":0' for number in range(members))


BAD_JSON = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "not UTF-8": b'{"id":"\xff"}',
    "a member that is unknown": request(PIXEL, ids="x").encode(),
    "a member of a tensor that is unknown": request(but(PIXEL, more=1)).encode(),
    "a member twice": b'{"id":"a","id":"b"}',
    "an id that is no text": request(PIXEL, id=7).encode(),
    "a long id": request(PIXEL, id="x" * 1001).encode(),
    "half a character": request(PIXEL, id="\ud800").encode(),
    "parameters of parameters": request(PIXEL, parameters={"a": {"b": 1}}).encode(),
    "NaN as a parameter": request(PIXEL, parameters={"a": float("nan")}).encode(),
    "a long number": b'{"parameters":{"a":' + b"9" * 1_000_000 + b"}}",
    "a million members": f"{{{many(1_000_000)}}}".encode(),
    "a million parameters": f'{{"parameters":{{{many(1_000_000)}}}}}'.encode(),
    "depth of 100,000": b'{"inputs":' + b"[" * 100_000,
    "depth of objects": b'{"parameters":' + b'{"a":' * 100_000,
    "more behind": request(PIXEL).encode() + b"x",
    "two texts": request(PIXEL).encode() * 2,
    "cut short": request(PIXEL).encode()[:-1],
    "a text that never ends": b'{"id":"' + b"x" * 1_000_000,
}


@pytest.mark.parametrize("content", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_invalid_json_requests(client: httpx.Client, address: str, content: bytes) -> None:
    refused(client.post(address, content=content, headers=JSON), 400, "bad_json")


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown output": ({"outputs": [{"name": "x"}]}, "bad_output"),
    "an output without a name": ({"outputs": [{}]}, "bad_output"),
    "an output twice": ({"outputs": [{"name": "logits"}, {"name": "logits"}]}, "bad_output"),
    "classes of a vector": ({"outputs": [{"name": "embedding", "parameters": {"classification": 1}}]}, "bad_output"),
    "no classes": ({"outputs": [{"name": "logits", "parameters": {"classification": 0}}]}, "bad_parameter"),
    "half a class": ({"outputs": [{"name": "logits", "parameters": {"classification": 1.5}}]}, "bad_parameter"),
    "classes as a text": ({"outputs": [{"name": "logits", "parameters": {"classification": "3"}}]}, "bad_parameter"),
    "a true class": ({"outputs": [{"name": "logits", "parameters": {"classification": True}}]}, "bad_parameter"),
    "perhaps binary": ({"parameters": {"binary_data_output": "yes"}}, "bad_parameter"),
    "binary as a number": ({"outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]}, "bad_parameter"),
    "shared": ({"outputs": [{"name": "logits", "parameters": {"shared_memory_region": "x"}}]}, "no_shared_memory"),
}


@pytest.mark.parametrize(("others", "code"), OTHERS.values(), ids=OTHERS.keys())
def test_outputs_and_parameters(client: httpx.Client, address: str, others: dict[str, Any], code: str) -> None:
    refused(client.post(address, content=request(PIXEL, **others), headers=JSON), 400, code)


def test_inputs_in_shared_memory(client: httpx.Client, address: str) -> None:
    parameters = {"shared_memory_region": "x", "shared_memory_byte_size": 3}
    tensor = but(PIXEL, data=None, parameters=parameters)
    refused(client.post(address, content=request(tensor), headers=JSON), 400, "no_shared_memory")


def post(client: httpx.Client, address: str, head: str, tail: bytes, length: str | None = None) -> httpx.Response:
    headers = {"content-type": "application/octet-stream", LENGTH: str(len(head)) if length is None else length}
    return client.post(address, content=head.encode() + tail, headers=headers)


@pytest.mark.parametrize("count", [0, 2, 4, 3000])
def test_byte_count_differs_from_shape(client: httpx.Client, address: str, count: int) -> None:
    refused(post(client, address, request(IN_BYTES), bytes(count)), 400, "bad_tensor")
    tensor = but(IN_BYTES, parameters={"binary_data_size": count})
    refused(post(client, address, request(tensor), bytes(count)), 400, "bad_tensor")


@pytest.mark.parametrize("size", [-1, 1.5, "3", True, 10**30])
def test_invalid_sizes(client: httpx.Client, address: str, size: object) -> None:
    tensor = but(IN_BYTES, parameters={"binary_data_size": size})
    code = "bad_tensor" if size == 10**30 else "bad_parameter"
    refused(post(client, address, request(tensor), b"abc"), 400, code)


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "", "9" * 5000, "99999999", "٣"])
def test_invalid_lengths(client: httpx.Client, address: str, length: str) -> None:
    headers: dict[str, Any] = {"content-type": "application/octet-stream", LENGTH: length.encode()}
    response = client.post(address, content=request(IN_BYTES).encode() + b"abc", headers=headers)
    refused(response, 400, "bad_header_length")


def test_length_that_truncates_the_json(client: httpx.Client, address: str) -> None:
    for length in ("0", "10"):
        refused(post(client, address, request(IN_BYTES), b"abc", length), 400, "bad_json")


def element(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


ELEMENTS = {
    "no length": b"abc",
    "a length beyond the end": struct.pack("<I", 2**32 - 1) + b"abc",
    "one byte short": element(b"abc")[:-1],
    "bytes behind": element(b"abc") + b"\0",
    "two": element(b"abc") * 2,
    "none": b"",
}


@pytest.mark.parametrize("data", ELEMENTS.values(), ids=ELEMENTS.keys())
def test_elements_with_wrong_lengths(client: httpx.Client, address: str, data: bytes) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
    refused(post(client, address, request(tensor), data), 400, "bad_tensor")


def test_too_many_images(client: httpx.Client, address: str, encode: Encode) -> None:
    texts = [b64encode(encode(size=(8, 8))).decode()] * 33
    response = client.post(address, content=request(but(ENCODED, shape=[33], data=texts)), headers=JSON)
    refused(response, 413, "too_many_images")
    tensor = but(IN_BYTES, shape=[33, 8, 8, 3], parameters={"binary_data_size": 33 * 192})
    refused(post(client, address, request(tensor), bytes(33 * 192)), 413, "too_many_images")
    data = element(b"") * 100_000
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
    refused(post(client, address, request(tensor), data), 413, "too_many_images")


def test_bad_base64(client: httpx.Client, address: str) -> None:
    for text in ("?", "AA", "data:image/png;base64,AA=="):
        refused(client.post(address, content=request(but(ENCODED, data=[text])), headers=JSON), 400, "bad_base64")


def test_unsupported_bodies(client: httpx.Client, address: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "image/png", "multipart/form-data; boundary=x"):
        response = client.post(address, content=request(PIXEL), headers={"content-type": kind})
        refused(response, 415, "unsupported_media_type")
    response = client.post(address, content=request(PIXEL), headers={**JSON, "content-encoding": "gzip"})
    refused(response, 415, "unsupported_encoding")
    refused(client.post(address, content=bytes(20_000_001), headers=JSON), 413, "body_too_large")


def test_other_routes_and_methods(client: httpx.Client, address: str) -> None:
    for path in ["/v2/", "/v2/nope", "/v2/models", "/v2/repository/index", address.replace("/infer", "/config")]:
        refused(client.post(path), 404, "not_found")
    refused(client.get(address), 405, "method_not_allowed")
    refused(client.post("/v2"), 405, "method_not_allowed")
    refused(client.post("/v2/models/other/infer", content=request(PIXEL), headers=JSON), 404, "unknown_model")
    refused(client.get("/v2/models/" + "x" * 5000), 404, "unknown_model")
    refused(client.get(address.replace("/infer", "/versions/2")), 404, "unknown_version")
    assert "error" not in client.get("/v1/nope").json()
    assert "error" not in client.get("/v20").json()


def test_parsing_stops_at_the_first_error() -> None:
    """The rest is never parsed: its error is not reported."""
    for start in ('{"x":', '{"inputs":[{"x":', '{"parameters":{"x":{'):
        with pytest.raises(Problem, match="the body must be JSON") as first:
            parse_request(start.encode(), None, OFFERED)
        with pytest.raises(Problem) as caught:
            parse_request((start + "]" * 1_000_000).encode(), None, OFFERED)
        assert str(caught.value) == str(first.value)


def test_many_numbers_do_not_block_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are parsed in pieces, so that the interpreter can switch threads between two of them."""
    pieces: list[int] = []

    def loads(text: bytes) -> list[int]:
        pieces.append(len(text))
        return [7] * text.count(b"7")

    monkeypatch.setattr(json, "loads", loads)
    body = b'{"inputs":[{"data":[' + b"7," * 1_000_000 + b"7]}]}"
    with pytest.raises(BadTensor, match="name"):
        parse_request(body, None, OFFERED)
    assert sum(pieces) >= 2_000_000
    assert max(pieces) <= tensors.PIECE + 2


@pytest.mark.parametrize(("shape", "text"), [((2,), b"[0,0]"), ((2, 1), b"[[0],[0]]"), ((1, 2, 2), b"[[[0,0],[0,0]]]")])
def test_nested_outline(shape: tuple[int, ...], text: bytes) -> None:
    assert nested(shape) == text
    assert np.array(json.loads(text)).shape == shape
