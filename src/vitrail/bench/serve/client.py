"""Runs the load generator, and sends single requests."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path

from vitrail.bench.serve.load import Load, LoadSpec
from vitrail.bench.serve.samples import Sample
from vitrail.errors import VitrailError

BOUNDARY = "----vitrail-bench"


def run_load(spec: LoadSpec) -> Load:
    """In a process of its own, so that it takes no more from the server than the cores of a client."""
    command = [sys.executable, "-m", "vitrail.bench.serve.load"]
    done = subprocess.run(command, input=json.dumps(asdict(spec)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise VitrailError(f"the load generator failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    result = json.loads(done.stdout)
    return Load(**result | {"samples": [Sample(*each) for each in result["samples"]]})


def multipart(image: bytes) -> tuple[str, bytes]:
    """A form with the image as its file `image`: what curl -F sends."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image.jpg"\r\n'
    body = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()
    return f"multipart/form-data; boundary={BOUNDARY}", body


def message(path: str, kind: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    lines = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*", f"Content-Type: {kind}")
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def write_messages(messages: Sequence[bytes], folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.http" for number in range(len(messages))]
    for path, content in zip(paths, messages, strict=True):
        path.write_bytes(content)
    return [str(path) for path in paths]


def ask(port: int, method: str, path: str, kind: str = "", body: bytes = b"") -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body or None, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
