"""Starting and stopping: both commands, one line for each mistake, nothing left behind."""

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from ..servers import Start
from .conftest import Encode

VITRAIL = [sys.executable, "-m", "vitrail"]


def vitrail(*options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VITRAIL, *options], capture_output=True, text=True, timeout=60, cwd=cwd)


def test_vitrail_serve(start: Start, model_file: Path, encode: Encode, tmp_path: Path) -> None:
    """From a configuration file, overridden on the command line; then Ctrl-C."""
    config = tmp_path / "serve.yaml"
    config.write_text(f"model: {model_file}\nport: 1\nprovider: cpu\nhost: localhost\n")
    with start([*VITRAIL, "serve", "--config", str(config), "--port", "{port}"]) as server:
        response = httpx.post(f"{server.url}/v1/classify", files={"image": encode()})
        assert response.status_code == 200
        assert len(response.json()["predictions"][0]["labels"]) == 5
        assert f"ready on CPUExecutionProvider: {server.url}" in server.read_log()

        second = vitrail("serve", str(model_file), "--port", str(server.port))
        assert second.returncode == 1
        assert second.stderr.endswith("is in use: choose another with --port\n")
        assert second.stderr.count("\n") == 1

        family = server.family()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.read_log()
        assert not [process for process in family if process.is_running()]


def test_a_running_request_completes_after_sigterm(
    start: Start, bentoml_serve: list[str], model_file: Path, encode: Encode
) -> None:
    image = encode()
    line = "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    head = f"{line}Content-Length: {len(image)}\r\n\r\n"
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file)) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(head.encode() + image[:100])
            with ExitStack() as others:  # each process has one of them, and has accepted the request by now
                for _ in range(8):
                    others.enter_context(httpx.Client(timeout=20)).get(f"{server.url}/livez")
            server.process.send_signal(signal.SIGTERM)
            connection.sendall(image[100:])
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.read_log()


def test_a_killed_server_leaves_no_orphan(start: Start, bentoml_serve: list[str], model_file: Path) -> None:
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file)) as server:
        family = server.family()
        server.process.kill()
        server.process.wait(30)
        _, left = psutil.wait_procs(family[1:], timeout=30)
        assert len(family) >= 2
        assert not left


def test_a_model_that_cannot_be_served_is_never_ready(start: Start, bentoml_serve: list[str], tmp_path: Path) -> None:
    with start(bentoml_serve, ready=False, VITRAIL_MODEL=str(tmp_path / "none.onnx")) as server:
        transport = httpx.HTTPTransport(retries=40)
        with httpx.Client(base_url=server.url, transport=transport, timeout=30) as client:
            while (state := client.get("/readyz")).json()["reason"] == "the model is loading":
                pass
            assert state.status_code == 503
            assert state.json()["reason"] == f"there is no model file at {tmp_path}/none.onnx"
            refused = client.post("/v1/classify", content=b"")
            assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
            assert refused.headers["retry-after"] == "1"
            assert client.get("/livez").status_code == 200


MISTAKES = {
    "no model": ([], 2, "the model file is missing"),
    "missing file": (["none.onnx"], 1, "there is no model file at none.onnx"),
    "not a model": (["text.onnx"], 1, "is not an ONNX file"),
    "no card": (["bare.onnx"], 1, "has no vitrail card"),
    "unknown option": (["text.onnx", "--nope"], 2, "unrecognized arguments: --nope"),
    "port is no number": (["text.onnx", "--port", "x"], 2, 'key "port"'),
    "unknown provider": (["text.onnx", "--provider", "tpu"], 2, 'key "provider"'),
    "unknown key": (["--config", "bad.yaml"], 2, "'modl' is not accepted"),
    "broken file": (["--config", "text.onnx"], 2, "Unexpected config: hello"),
    "no such file": (["--config", "none.yaml"], 2, "does not exist"),
}


@pytest.mark.parametrize(("options", "code", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_usage_errors_are_one_line(options: list[str], code: int, message: str, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "bad.yaml").write_text("modl: m.onnx\n")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "bare", [value],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])  # fmt: skip
    bare = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(bare, tmp_path / "bare.onnx")
    done = vitrail("serve", *options, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.startswith("vitrail: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
