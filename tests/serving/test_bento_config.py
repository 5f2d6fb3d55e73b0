"""BentoML's configuration, where it holds: limits of traffic, traces, and metrics under its own names."""

import gzip
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from vitrail.model_file.classifier import Classifier
from vitrail.serving.settings import model_name

from ..servers import Server, Start, free_port
from .conftest import Encode

TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ["decode", "infer", "infer", "queue", "queue"]  # of a request with two images
READ = """
from vitrail.serving import settings
from vitrail.serving.service import Vitrail
Vitrail.to_asgi()
limits = settings.read()
print(limits.deadline, limits.concurrency)
"""
READ_GPUS = """
from vitrail.runtime import gpus
gpus.gpu_count = lambda: 4
from vitrail.serving import settings
from vitrail.serving.service import Vitrail
Vitrail.to_asgi()
print(settings.gpus())
"""


def of_service(config: dict[str, Any]) -> dict[str, Any]:
    return {"services": {"vitrail": config}}


class Collector:
    """Receives spans as OpenTelemetry's own collector does."""

    def __init__(self) -> None:
        self.spans: Queue[Any] = Queue()
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        for span in scope.spans:
                            spans.put(span)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


@pytest.fixture(scope="module")
def tracing_port() -> int:
    """Of the gRPC of the server below."""
    return free_port()


@pytest.fixture(scope="module")
def configured(
    start: Start,
    bentoml_serve: list[str],
    model_file: Path,
    collector: Collector,
    tracing_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server that sends traces, and takes one request for images at a time."""
    url = f"http://127.0.0.1:{collector.http.server_port}/v1/traces"
    tracing = {"exporter_type": "otlp", "sample_rate": 1.0, "otlp": {"protocol": "http", "endpoint": url}}
    path = tmp_path_factory.mktemp("config") / "bentoml.yaml"
    path.write_text(yaml.safe_dump(of_service({"traffic": {"max_concurrency": 1}, "tracing": tracing})))
    environment = {"BENTOML_CONFIG": str(path), "OTEL_BSP_SCHEDULE_DELAY": "100"}
    environment["VITRAIL_GRPC"] = f"127.0.0.1:{tracing_port}"
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", **environment) as server:
        yield server


def test_a_request_continues_the_callers_trace_down_to_its_batches(
    configured: Server, collector: Collector, encode: Encode
) -> None:
    files = [("image", ("a.png", encode(seed=seed))) for seed in (1, 2)]
    headers = {"traceparent": f"00-{TRACE}-{CALLER_SPAN}-01"}
    assert httpx.post(f"{configured.url}/v1/classify", files=files, headers=headers).status_code == 200
    of_trace: list[Any] = []
    while len(of_trace) < 1 + len(STAGES):
        span = collector.spans.get(timeout=20)
        of_trace += [span] if span.trace_id.hex() == TRACE else []
    (request,) = (span for span in of_trace if span.parent_span_id.hex() == CALLER_SPAN)
    stages = sorted((span for span in of_trace if span is not request), key=lambda span: str(span.name))
    assert [span.name for span in stages] == STAGES
    for span in stages:
        assert span.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano + 10_000_000
    images = [{each.key: each.value.int_value for each in span.attributes} for span in stages]
    assert images[0] == {"images": 2}
    assert all(1 <= each["images"] <= 2 for each in images[1:3])


def test_a_call_over_grpc_continues_the_callers_trace(
    configured: Server, collector: Collector, tracing_port: int, model_file: Path
) -> None:
    trace = f"{int(TRACE, 16) + 1:032x}"
    tensor = triton.InferInput("image", [1, 8, 8, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 8, 8, 3), np.uint8))
    with triton.InferenceServerClient(f"127.0.0.1:{tracing_port}") as client:
        name = model_name(Classifier(model_file, "cpu").card)
        client.infer(name, [tensor], headers={"traceparent": f"00-{trace}-{CALLER_SPAN}-01"})
    spans: dict[str, Any] = {}
    while len(spans) < 3:
        span = collector.spans.get(timeout=20)
        if span.trace_id.hex() == trace:
            spans[span.name] = span
    call = spans.pop("inference.GRPCInferenceService/ModelInfer")
    assert call.parent_span_id.hex() == CALLER_SPAN
    assert {name: span.parent_span_id for name, span in spans.items()} == dict.fromkeys(
        ["queue", "infer"], call.span_id
    )


def test_more_requests_for_images_at_once_are_refused_and_probes_are_not(configured: Server, encode: Encode) -> None:
    head = "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", configured.port)) as slow:
        slow.sendall(head.encode())
        deadline = 50
        while (busy := classify(configured, encode)).status_code == 200 and deadline:
            deadline -= 1
        assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (503, "busy", "1")
        assert "1 requests are in flight" in busy.json()["detail"]
        assert httpx.get(f"{configured.url}/readyz").status_code == 200
    while classify(configured, encode).status_code != 200 and deadline:
        deadline -= 1
    assert deadline


def classify(server: Server, encode: Encode) -> httpx.Response:
    headers = {"content-type": "image/png"}
    return httpx.post(f"{server.url}/v1/classify", content=encode(), headers=headers)


def test_metrics_have_bentomls_names_and_no_series_for_paths(configured: Server, encode: Encode) -> None:
    def total(endpoint: str, status: int) -> float:
        labels = rf'endpoint="{endpoint}",http_response_code="{status}",service_name="vitrail",service_version="[^"]+"'
        found = re.search(rf"^bentoml_service_request_total{{{labels}}} (.*)$", metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def metrics() -> str:
        return httpx.get(f"{configured.url}/metrics").text

    answered, lost = total("/v1/classify", 200), total("none", 404)
    assert classify(configured, encode).status_code == 200
    for number in range(20):
        assert httpx.get(f"{configured.url}/scan/{number}").status_code == 404
    assert total("/v1/classify", 200) == answered + 1
    assert total("none", 404) == lost + 20
    text = metrics()
    assert "/scan" not in text
    assert re.search(r'^bentoml_service_request_in_progress{endpoint="all",.*} 1.0$', text, re.MULTILINE)
    assert "bentoml_service_request_duration_seconds_bucket{" in text
    assert re.search(r"^bentoml_service_last_request_timestamp_seconds{.*} 1\.\d+e\+09$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("traffic", "variables", "limits"),
    [
        ({}, {}, "30.0 None"),
        ({"timeout": 7, "max_concurrency": 50}, {}, "7.0 50"),
        ({"timeout": 7, "max_concurrency": 50}, {"VITRAIL_DEADLINE": "9", "VITRAIL_CONCURRENCY": "3"}, "9.0 3"),
    ],
    ids=["defaults", "configured", "variables"],
)
def test_limits_of_traffic_come_from_the_configuration(
    tmp_path: Path, traffic: dict[str, int], variables: dict[str, str], limits: str
) -> None:
    assert last_line(READ, {"traffic": traffic}, variables, tmp_path) == limits


@pytest.mark.parametrize(
    ("resources", "variables", "gpus"),
    [
        ({"gpu": 2}, {"CUDA_VISIBLE_DEVICES": "3,1"}, "['3', '1']"),  # as BentoML assigns them
        ({"gpu": 1}, {}, "[]"),
        ({"cpu": "4"}, {}, "[]"),
        ({"gpu": 2}, {"VITRAIL_GPUS": "3"}, "['0', '1', '2']"),
        ({"gpu": 2}, {"VITRAIL_PROVIDER": "cpu"}, "[]"),
    ],
    ids=["two", "one", "none", "variable", "cpu"],
)
def test_one_engine_a_gpu_of_the_resources(
    tmp_path: Path, resources: dict[str, Any], variables: dict[str, str], gpus: str
) -> None:
    assert last_line(READ_GPUS, {"resources": resources}, variables, tmp_path) == gpus


def last_line(code: str, config: dict[str, Any], variables: dict[str, str], folder: Path) -> str:
    """What a program prints last under this configuration of the service."""
    path = folder / "bentoml.yaml"
    path.write_text(yaml.safe_dump(of_service(config)))
    environment = {"BENTOML_CONFIG": str(path), "BENTOML_HOME": str(folder / "bentoml"), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
