"""gRPC beside HTTP: the same answers, errors, limits and counts, for Triton's client unchanged."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from vitrail.cli import main
from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.serving.grpc.server import address_of
from vitrail.serving.settings import model_name

from ...servers import Server, Start, free_port
from ..conftest import Encode

CANVASES = np.stack([mosaic(4, seed, 8, 8) for seed in range(12)])


class Both:
    """A server of both, and where its gRPC is."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.address = f"127.0.0.1:{port}"

    def client(self) -> triton.InferenceServerClient:
        return triton.InferenceServerClient(self.address)

    def counted(self, method: str, status: int) -> float:
        line = rf'^vitrail_requests_total{{route="/inference.GRPCInferenceService/{method}",status="{status}"}} (\S+)$'
        found = re.search(line, httpx.get(f"{self.server.url}/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def both(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[Both]:
    port = free_port()
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_WAIT": "60"}
    with start(bentoml_serve, VITRAIL_GRPC=f"127.0.0.1:{port}", **environment) as server:
        yield Both(server, port)


@pytest.fixture(scope="module")
def model(model_file: Path) -> Classifier:
    return Classifier(model_file, "cpu")


@pytest.fixture(scope="module")
def name(model: Classifier) -> str:
    return model_name(model.card)


def pixels(images: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput("image", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images)
    return tensor


def encoded(*images: bytes) -> triton.InferInput:
    tensor = triton.InferInput("image", [len(images)], "BYTES")
    tensor.set_data_from_numpy(np.array(images, np.object_))
    return tensor


def test_tritons_client_finds_server_and_model(both: Both, name: str) -> None:
    with both.client() as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, "1")
        assert client.get_server_metadata().name == "vitrail"
        metadata = client.get_model_metadata(name)
        over_http = httpx.get(f"{both.server.url}/v2/models/{name}").json()
        assert [metadata.name, *metadata.versions, metadata.platform] == [name, "1", over_http["platform"]]
        for side in ("inputs", "outputs"):
            tensors = [
                {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
                for each in getattr(metadata, side)
            ]
            assert tensors == over_http[side]


def test_canvases_have_the_answers_of_the_file(both: Both, model: Classifier, name: str) -> None:
    expected = model.predict(CANVASES)
    with both.client() as client:
        result = client.infer(name, [pixels(CANVASES)], request_id="seven")
        assert result.get_response().id == "seven"
        for column in model.task.outputs:
            np.testing.assert_allclose(result.as_numpy(column), expected.columns[column], rtol=0, atol=1e-6)
        (one,) = (
            client.infer(name, [pixels(CANVASES)], outputs=[triton.InferRequestedOutput("logits")])
            .get_response()
            .outputs
        )
        assert (one.name, one.datatype, list(one.shape)) == ("logits", "FP32", [12, 10])


def test_an_image_sent_alone_is_answered_to_the_byte_as_over_http(both: Both, name: str, encode: Encode) -> None:
    image = encode("JPEG", size=(60, 80))
    answer = httpx.post(f"{both.server.url}/v1/embed", content=image, headers={"content-type": "image/jpeg"}).json()
    with both.client() as client:
        result = client.infer(name, [encoded(image)])
        embedding = np.array(answer["predictions"][0]["embedding"], np.float32)
        assert result.as_numpy("embedding").tobytes() == embedding.tobytes()


def test_classes_are_as_over_http(both: Both, model: Classifier, name: str) -> None:
    with both.client() as client:
        output = triton.InferRequestedOutput("probabilities", class_count=3)
        table = client.infer(name, [pixels(CANVASES[:2])], outputs=[output]).as_numpy("probabilities")
    best = np.argsort(-model.predict(CANVASES[:2]).probabilities, axis=1)[:, :3]
    assert [[int(text.split(b":")[1]) for text in row] for row in table] == best.tolist()


def stub_call(both: Both, request: Any, **options: Any) -> Any:
    with grpc.insecure_channel(both.address) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        return call(request, timeout=30, **options)


def request_of(name: str, **tensor: Any) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=name)
    request.inputs.add(**{"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 3], **tensor})
    return request


def test_numbers_and_images_may_be_in_the_contents(both: Both, model: Classifier, name: str, encode: Encode) -> None:
    request = request_of(name)
    request.inputs[0].contents.uint_contents.extend(CANVASES[0].ravel().tolist())
    raw = stub_call(both, request).raw_output_contents
    expected = model.predict(CANVASES[:1]).probabilities
    np.testing.assert_allclose(np.frombuffer(raw[0], np.float32), expected[0], atol=1e-6)
    request = request_of(name, datatype="BYTES", shape=[2])
    request.inputs[0].contents.bytes_contents.extend([encode(), encode(seed=2)])
    assert list(stub_call(both, request).outputs[0].shape) == [2, 10]


def broken_requests(name: str) -> dict[str, tuple[Any, grpc.StatusCode, str, str]]:
    """A request, its status, its code, and what its message says."""
    bad, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
    one = request_of(name)
    one.raw_input_contents.append(CANVASES[0].tobytes())
    another, version, two, short, out, kind, both_ways, repeated, large, no_image = (
        type(one).FromString(one.SerializeToString()) for _ in range(10)
    )
    another.model_name = "another"
    version.model_version = "2"
    two.inputs.add(name="mask")
    short.raw_input_contents[0] = b"abc"
    out.outputs.add(name="nothing")
    kind.inputs[0].datatype = "FP32"
    both_ways.inputs[0].contents.uint_contents.append(1)
    repeated.outputs.add(name="logits")
    repeated.outputs.add(name="logits")
    large.inputs[0].shape[:] = [1, 5000, 1, 3]
    no_image.inputs[0].datatype = "BYTES"
    no_image.inputs[0].shape[:] = [1]
    no_image.raw_input_contents[0] = (5).to_bytes(4, "little") + b"hello"
    shared = type(one).FromString(one.SerializeToString())
    shared.inputs[0].parameters["shared_memory_region"].string_param = "x"
    over = request_of(name)
    over.inputs[0].contents.uint_contents.extend([256] * 192)
    return {
        "no message": (b"\x0f", bad, "bad_message", "not a message"),
        "no utf-8": (b"\x0a\x02\xff\xff", bad, "bad_message", "not a message"),
        "no input": (service_pb2.ModelInferRequest(model_name=name), bad, "bad_tensor", "there are 0 inputs"),
        "another model": (another, missing, "unknown_model", "no model 'another' here"),
        "another version": (version, missing, "unknown_version", "no version '2'"),
        "two inputs": (two, bad, "bad_tensor", "there are 2 inputs"),
        "too few bytes": (short, bad, "bad_tensor", "needs 192 values; there are 3"),
        "unknown output": (out, bad, "bad_output", "'nothing' is unknown"),
        "another type": (kind, bad, "bad_tensor", "datatype is 'FP32'"),
        "contents twice": (both_ways, bad, "bad_tensor", "either contents or one of raw_input_contents"),
        "an output twice": (repeated, bad, "bad_output", "requested twice"),
        "too large a side": (large, bad, "bad_tensor", "at most 4096"),
        "no image": (no_image, bad, "unsupported_format", "image 0"),
        "shared memory": (shared, bad, "no_shared_memory", "not supported"),
        "no byte": (over, bad, "bad_tensor", "whole numbers from 0 to 255"),
    }


def test_each_mistake_is_named(both: Both, name: str) -> None:
    for mistake, (request, status, code, says) in broken_requests(name).items():
        with pytest.raises(grpc.RpcError) as caught:
            stub_call(both, request, metadata=(("x-request-id", "mine"),))
        error: Any = caught.value
        trailing = dict(error.trailing_metadata())
        assert (error.code(), trailing["code"], trailing["x-request-id"]) == (status, code, "mine"), mistake
        assert says in error.details(), mistake
    with both.client() as client, pytest.raises(InferenceServerException, match="no model 'another' here"):
        client.infer("another", [pixels(CANVASES)])


def test_calls_are_counted_and_logged(both: Both, name: str) -> None:
    answered, missing = both.counted("ModelInfer", 200), both.counted("ModelInfer", 404)
    with both.client() as client:
        for _ in range(3):
            client.infer(name, [pixels(CANVASES)], headers={"x-request-id": "of-the-log"})
        with pytest.raises(InferenceServerException):
            client.infer("another", [pixels(CANVASES)])
    assert both.counted("ModelInfer", 200) == answered + 3
    assert both.counted("ModelInfer", 404) == missing + 1
    time.sleep(0.1)  # the log is written by a thread
    assert both.server.read_log().count('"request_id": "of-the-log"') == 3


def test_what_is_too_large_or_compressed_is_refused(both: Both, name: str) -> None:
    request = request_of(name)
    request.raw_input_contents.append(bytes(21_000_000))
    with pytest.raises(grpc.RpcError) as caught:
        stub_call(both, request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    request.raw_input_contents[0] = CANVASES[0].tobytes()
    with pytest.raises(grpc.RpcError) as caught:
        stub_call(both, request, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with grpc.insecure_channel(both.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_many_clients_at_once_get_their_own_rows(both: Both, model: Classifier, name: str) -> None:
    expected = model.predict(CANVASES).logits

    def client(number: int) -> None:
        with both.client() as one:
            for index in range(number, number + 30):
                row = one.infer(name, [pixels(CANVASES[index % 12][None])]).as_numpy("logits")
                np.testing.assert_allclose(row[0], expected[index % 12], atol=1e-5)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(client, range(12)))


def test_calls_that_sent_nothing_free_their_places(both: Both, name: str) -> None:
    ended = threading.Event()

    def nothing() -> Iterator[bytes]:
        ended.wait(20)
        yield from ()

    with grpc.insecure_channel(both.address) as channel:
        waiting = [
            channel.stream_unary("/inference.GRPCInferenceService/ModelInfer").future(nothing()) for _ in range(4)
        ]
        time.sleep(0.3)
        for call in waiting:
            call.cancel()
        ended.set()
    with both.client() as client:
        assert client.infer(name, [pixels(CANVASES)], client_timeout=5).as_numpy("logits").shape == (12, 10)


def test_a_stopping_server_answers_what_is_in_flight(
    start: Start, bentoml_serve: list[str], model_file: Path, name: str, encode: Encode
) -> None:
    port, heavy = free_port(), encode(size=(3000, 3000))
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_WAIT": "60"}
    with start(bentoml_serve, VITRAIL_GRPC=f"127.0.0.1:{port}", **environment) as server, ThreadPoolExecutor(4) as pool:
        both = Both(server, port)

        def call() -> tuple[int, ...]:
            with both.client() as client:
                return tuple(client.infer(name, [encoded(*[heavy] * 4)]).as_numpy("logits").shape)

        calls = [pool.submit(call) for _ in range(4)]
        time.sleep(0.3)
        assert server.stop() == 0
        assert [each.result() for each in calls] == [(4, 10)] * 4
        assert "Traceback" not in server.read_log()


def test_a_port_in_use_is_named(
    both: Both, start: Start, bentoml_serve: list[str], model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = both.address.rpartition(":")[2]
    assert main(["serve", str(model_file), "--provider=cpu", f"--port={free_port()}", f"--grpc-port={port}"]) == 1
    assert f"port {port} of 127.0.0.1 is in use" in capsys.readouterr().err
    same = free_port()
    assert main(["serve", str(model_file), "--provider=cpu", f"--port={same}", f"--grpc-port={same}"]) == 2
    assert f"need a port each; both are {same}" in capsys.readouterr().err
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_GRPC": both.address}
    with start(bentoml_serve, ready=False, **environment) as server:
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = httpx.get(f"{server.url}/readyz")
                if "loading" not in answer.text:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answer.status_code == 503
        assert answer.json()["reason"] == f"gRPC cannot listen on {both.address}: another program may use the port"


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:192.0.2.1:5000", "192.0.2.1"), ("ipv6:%5B::1%5D:5000", "::1"), ("ipv6:[2001:db8::1]:5", "2001:db8::1")],
)
def test_a_peer_is_its_address(peer: str, address: str) -> None:
    assert address_of(peer) == address
