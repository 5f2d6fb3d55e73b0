"""The servers that are measured: ours and its peers, each started as its documentation says."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from vitrail.bench.infer.peer_exporters import SCRIPTS
from vitrail.bench.serve.client import ask, multipart
from vitrail.bench.serve.processes import process_tree
from vitrail.errors import VitrailError
from vitrail.runtime.providers import usable_cores

OURS = "vitrail"
READY_TIMEOUT = 120.0  # seconds to be ready, and again to end

Prediction = dict[int, float]  # class index → probability
Request = Callable[[bytes], tuple[str, bytes]]  # an image → content type and body
ResponseParser = Callable[[Any], Prediction]  # the JSON of a response → the prediction for its one image


def parse_object(response: Any) -> Prediction:
    return parse_list(response["predictions"])


def parse_list(response: Any) -> Prediction:
    (prediction,) = response
    return {label["index"]: label["probability"] for label in prediction["labels"]}


def parse_protocol(response: Any) -> Prediction:
    """Open Inference Protocol: the prediction as JSON in an output of type BYTES."""
    return parse_list([json.loads(response["outputs"][0]["data"][0])])


def protocol_request(image: bytes) -> tuple[str, bytes]:
    """Open Inference Protocol as JSON, as MLServer requires: the image as base64 in an input of type BYTES."""
    data = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(image).decode()]}
    return "application/json", json.dumps({"inputs": [data | {"parameters": {"content_type": "base64"}}]}).encode()


@dataclass(frozen=True)
class Server:
    """How to start a server and send it an image; `command` has the placeholders {python}, {model} and {port}."""

    name: str
    command: tuple[str, ...]
    environment: str | None = None  # a folder below `.peers`; None is our own
    ready: str = "/readyz"
    path: str = "/classify"
    request: Request = multipart
    parse: ResponseParser = parse_object

    def python(self, peers: Path) -> Path:
        """The interpreter of its environment, which may not exist."""
        return peers.absolute() / self.environment / "bin" / "python" if self.environment else Path(sys.executable)


def bentoml(
    name: str, service: str, environment: str | None = "bentoml", parse: ResponseParser = parse_object
) -> Server:
    command = ("{python}", "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", "{port}")
    return Server(name, command, environment, parse=parse)


VITRAIL = Server(
    OURS,
    ("{python}", "-m", "vitrail", "serve", "{model}", "--port", "{port}", "--provider", "cpu"),
    path="/v1/classify",
)


def of_processes(count: int) -> Server:
    """Ours, with as many processes that answer."""
    return replace(VITRAIL, name=f"{OURS}, {count} processes", command=(*VITRAIL.command, "--processes", str(count)))


PEERS = (
    Server("LitServe", ("{python}", "litserve_server.py"), "litserve", ready="/health"),
    Server("FastAPI + onnxruntime", ("{python}", "fastapi_server.py"), "fastapi", ready="/ready"),
    bentoml("BentoML, typed API", "bentoml_typed:Typed"),
    bentoml("BentoML, batchable API", "bentoml_batchable:Batchable", parse=parse_list),
    Server(
        "MLServer",
        ("{python}", "mlserver_server.py"),
        "mlserver",
        ready="/v2/health/ready",
        path="/v2/models/classify/infer",
        request=protocol_request,
        parse=parse_protocol,
    ),
)
EMPTY = bentoml("BentoML, a service without a model", "bentoml_empty:Empty", environment=None)


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    server: Server
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    seconds_to_ready: float = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid

    def processes(self) -> list[int]:
        return process_tree(self.pid)

    def predict(self, image: bytes) -> Prediction:
        status, body = ask(self.port, "POST", self.server.path, *self.server.request(image))
        if status != 200:
            raise VitrailError(
                f"{self.server.name} responds with status {status}: {body[:200].decode(errors='replace')}"
            )
        return self.server.parse(json.loads(body))


@contextmanager
def started(server: Server, model: Path, peers: Path, folder: Path) -> Iterator[Running]:
    """The server, once it is ready; stopped with all its processes afterwards. Its log and files go to `folder`."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"python": server.python(peers), "model": model.absolute(), "port": port}
    with (folder / "log").open("wb") as log:
        begin = perf_counter()
        process = subprocess.Popen(
            [part.format(**facts) for part in server.command],
            cwd=SCRIPTS,
            env=environment(server, model, port, folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            # Linux shares cores among sessions first; BentoML's workers open their own, so every server gets one.
            start_new_session=True,
        )
        try:
            running = Running(server, port, process, folder / "log")
            wait_until_ready(running)
            yield replace(running, seconds_to_ready=perf_counter() - begin)
        finally:
            stop(process)


def environment(server: Server, model: Path, port: int, folder: Path) -> dict[str, str]:
    """Ours without settings of servers, and for peers without PYTHONPATH."""
    dropped = ("VITRAIL_", "BENTOML_", "PEER_", *(("PYTHONPATH",) if server.environment else ()))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    facts = {"PEER_MODEL": str(model.absolute()), "PEER_PORT": str(port), "PEER_CORES": str(usable_cores())}
    quiet = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1"}
    return inherited | facts | quiet


def wait_until_ready(running: Running) -> None:
    name, deadline = running.server.name, perf_counter() + READY_TIMEOUT
    while perf_counter() < deadline:
        if running.process.poll() is not None:
            raise VitrailError(f"{name} exited during start-up: {last_line(running.log)}")
        try:
            if ask(running.port, "GET", running.server.ready)[0] == 200:
                return
        except (OSError, HTTPException):
            pass  # not listening yet, or its worker just ended
        sleep(0.02)
    raise VitrailError(f"{name} was not ready within {READY_TIMEOUT:g} seconds: {last_line(running.log)}")


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Terminate the server, then kill what is left of its process tree."""
    members = process_tree(process.pid) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(READY_TIMEOUT / 4)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for one in members:
        with suppress(ProcessLookupError):  # already ended
            os.kill(one, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
