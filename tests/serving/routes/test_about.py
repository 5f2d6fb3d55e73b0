"""Routes about the server itself, and modules that it does not load."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route

from vitrail.model_file.classifier import Classifier
from vitrail.serving.app import ROUTES
from vitrail.serving.openapi import DOCUMENT

from ...servers import Server
from ..conftest import Encode


def test_model(client: httpx.Client, model_file: Path) -> None:
    about = client.get("/v1/model").json()
    model = Classifier(model_file, "cpu")
    assert about["sha256"] == model.sha256
    assert about["provider"] == "CPUExecutionProvider"
    assert about["card"]["classes"] == list(model.card.classes)
    assert about["card"]["input"]["size"] == model.card.input.size


def test_health(client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"live": True}
    assert client.get("/readyz").json() == {"ready": True, "provider": "CPUExecutionProvider", "reason": None}


def test_every_request_has_an_id(client: httpx.Client) -> None:
    assert client.get("/livez", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = client.get("/livez", headers={"x-request-id": "not harmless"}).headers["x-request-id"]
    assert len(made) == 32


def test_metrics_count_requests_and_stages(client: httpx.Client, encode: Encode) -> None:
    def number(line: str) -> float:
        lines_of = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line + " ")]
        return float(lines_of[0].split()[1]) if lines_of else 0.0

    lines = [
        'vitrail_requests_total{route="/v1/classify",status="200"}',
        'vitrail_requests_total{route="/v1/classify",status="415"}',
        'vitrail_stage_seconds_count{stage="decode"}',
        'vitrail_stage_seconds_count{stage="infer"}',
    ]
    before = [number(line) for line in lines]
    client.post("/v1/classify", files=[("image", encode()), ("image", encode())])
    client.post("/v1/classify", files={"image": b"nothing"})
    assert [number(line) - old for line, old in zip(lines, before, strict=True)] == [1, 1, 3, 1]
    assert number('vitrail_ready{provider="CPUExecutionProvider"}') == 1


def test_openapi_lists_exactly_the_routes(client: httpx.Client) -> None:
    assert client.get("/docs.json").json() == DOCUMENT
    served = {
        (route.path, method.lower()) for route in ROUTES if isinstance(route, Route) for method in route.methods or []
    }
    written = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert {pair for pair in served if pair[1] != "head"} == written


def test_page_loads_nothing_from_other_sites(client: httpx.Client) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert 'type="file"' in page.text
    for name in ("index.html", "page.css", "page.js"):
        text = (files("vitrail.serving") / "page" / name).read_text("utf-8")
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert client.get("/" if name == "index.html" else f"/{name}").text == text


LIGHT = {
    "the service": "import vitrail.serving.service, vitrail.serving.app",
    "serve --help": "from vitrail.cli import main; main(['serve', '--help'])",
    "bento --help": "from vitrail.cli import main; main(['bento', '--help'])",
    "the options of serve": "from vitrail.commands.serve import read_options; read_options(['m.onnx', '--port', '1'])",
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_serving_imports_no_torch(code: str) -> None:
    heavy = "{'torch', 'timm', 'pytorch_lightning', 'vitrail.training', 'vitrail.exporting'}"
    code = f"import sys; {code}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists the libraries of a process")
def test_no_process_of_the_server_has_loaded_torch(server: Server, client: httpx.Client, encode: Encode) -> None:
    client.post("/v1/classify", files={"image": encode()})
    family = server.family()
    assert len(family) >= 2  # BentoML's arbiter and its worker
    loaded = "".join(Path(f"/proc/{process.pid}/maps").read_text() for process in family)
    assert "onnxruntime" in loaded
    assert "libtorch" not in loaded


def test_serving_does_not_import_the_training_code() -> None:
    """Imports in the source are on an allow list."""
    allowed = {
        "bentoml",
        "circus",  # the parent of BentoML's workers
        "uvicorn",
        "httptools",
        "starlette",
        "python_multipart",
        "prometheus_client",
        "opentelemetry",
        "grpc",  # where it is asked for
        "google",  # protobuf
        "numpy",
        "PIL",
        "vitrail",
    }
    allowed |= sys.stdlib_module_names
    folder = Path(str(files("vitrail.serving")))
    lines = [line.split() for file in folder.rglob("*.py") for line in file.read_text().splitlines()]
    named = {tokens[1].partition(".")[0] for tokens in lines if tokens[:1] in (["import"], ["from"])}
    assert named <= allowed
