"""The servers that tests share, and clients that check every response against the OpenAPI document."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.images.golden import mosaic
from vitrail.serving.openapi import DOCUMENT

from ..servers import Server, Start, free_port

SERVICE = "vitrail.serving.service:Vitrail"


@pytest.fixture(scope="session")
def bentoml_serve() -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", SERVICE, "--host", "127.0.0.1", "--port", "{port}"]


@pytest.fixture(scope="session")
def server(start: Start, bentoml_serve: list[str], model_file: Path) -> Iterator[Server]:
    """The server of most tests, started by BentoML's own command."""
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", VITRAIL_WAIT="60") as started:
        yield started


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    with contract_client(server) as one:
        yield one


@pytest.fixture(scope="session")
def explained_file(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared network as a model file of its own, with its explain file beside it."""
    path = tmp_path_factory.mktemp("explained") / "model.onnx"
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(path), "--explain"]) == 0
    return path


@pytest.fixture(scope="session")
def grpc_port() -> int:
    """Of the server `explaining`."""
    return free_port()


@pytest.fixture(scope="session")
def explaining(start: Start, bentoml_serve: list[str], explained_file: Path, grpc_port: int) -> Iterator[Server]:
    """A server whose model has an explain file, with gRPC."""
    environment = {"VITRAIL_PROVIDER": "cpu", "VITRAIL_WAIT": "60", "VITRAIL_GRPC": f"127.0.0.1:{grpc_port}"}
    with start(bentoml_serve, VITRAIL_MODEL=str(explained_file), **environment) as started:
        yield started


@pytest.fixture(scope="session")
def explaining_client(explaining: Server) -> Iterator[httpx.Client]:
    with contract_client(explaining) as one:
        yield one


@pytest.fixture(scope="session")
def contract_client_of() -> Callable[[Server], httpx.Client]:
    return contract_client


def contract_client(server: Server) -> httpx.Client:
    """A client that checks every response against /docs.json."""
    return httpx.Client(base_url=server.url, timeout=30, event_hooks={"response": [check_contract]})


def check_contract(response: httpx.Response) -> None:
    """Assert that /docs.json lists this status for this route, with this media type and schema."""
    response.read()
    kind = response.headers["content-type"].partition(";")[0]
    operation = path_item(response.request.url.path).get(response.request.method.lower())
    if operation is None:
        assert response.status_code in (403, 404, 405, 421)
        name = "ProtocolProblem" if f"{response.request.url.path}/".startswith("/v2/") else "Problem"
        documented = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    else:
        documented = operation["responses"][str(response.status_code)]["content"]
    assert kind in documented
    if kind.endswith("json"):
        difference = mismatch(response.json(), documented[kind]["schema"])
        assert difference is None, difference


def path_item(path: str) -> dict[str, Any]:
    """The entry of /docs.json for this path, whose parts may be parameters in braces."""
    forms = {re.sub(r"\{\w+\}", "[^/]+", form): item for form, item in DOCUMENT["paths"].items()}
    return next((item for form, item in forms.items() if re.fullmatch(form, path)), {})


def mismatch(value: Any, schema: dict[str, Any], where: str = "$") -> str | None:
    """The first difference of a value from its schema, in the subset of JSON Schema that /docs.json uses."""
    if "$ref" in schema:
        return mismatch(value, DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]], where)
    if "anyOf" in schema and all(mismatch(value, one, where) is not None for one in schema["anyOf"]):
        return f"{where} fits none of the alternatives"
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if mismatch(value, one, where) is None]
        return None if len(fitting) == 1 else f"{where} fits {len(fitting)} of the alternatives"
    if "const" in schema:
        return None if value == schema["const"] else f"{where} is not {schema['const']}"
    if value not in schema.get("enum", [value]):
        return f"{where} is none of {schema['enum']}"
    if "type" in schema and kind_of(value) not in np.atleast_1d(schema["type"]):
        return f"{where} is {kind_of(value)}, not {schema['type']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return f"{where} is not like {schema['pattern']}"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{where} is out of bounds"
    if isinstance(value, list):
        parts = [mismatch(item, schema["items"], f"{where}[{i}]") for i, item in enumerate(value)]
    elif isinstance(value, dict) and "properties" in schema:
        if missing := set(schema["required"]) - set(value) or set(value) - set(schema["properties"]):
            return f"{where} lacks, or has too many: {missing}"
        parts = [mismatch(item, schema["properties"][name], f"{where}.{name}") for name, item in value.items()]
    else:
        parts = []
    return next((part for part in parts if part), None)


def kind_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


Encode = Callable[..., bytes]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Encodes a mosaic as an image; each seed gives another image."""

    def encoded(kind: str = "PNG", seed: int = 1, size: tuple[int, int] = (60, 80), **options: Any) -> bytes:
        file = io.BytesIO()
        Image.fromarray(mosaic(4, seed, *size)).save(file, kind, **options)
        return file.getvalue()

    return encoded
