"""docs/http.md: its commands run as written, and its tables agree with the source."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from vitrail import images
from vitrail.commands.serve import ABOUT
from vitrail.model_file.classifier import Classifier
from vitrail.serving import contract, settings
from vitrail.serving.app import ROUTES
from vitrail.serving.engine import admission, inference
from vitrail.serving.http import body, form, gate, protocol
from vitrail.serving.openapi import DOCUMENT
from vitrail.serving.settings import model_name

from ..servers import Server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/http.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def rows(start: str) -> list[list[str]]:
    """The cells of the table whose head starts with this."""
    table = PAGE[PAGE.index(start) :].split("\n\n")[0].splitlines()[2:]
    return [line.strip("|").split(" | ") for line in table]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with two images."""
    folder = tmp_path_factory.mktemp("reader")
    for name, image in zip(("photo.jpg", "other.png"), load_sample_images().images, strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def here(explaining: Server, grpc_port: int, explained_file: Path) -> Callable[[str], str]:
    """Adapts a command of the page to the server of these tests and its model."""
    name = model_name(Classifier(explained_file, "cpu").card)
    places = {
        "http://127.0.0.1:3000": explaining.url,
        "127.0.0.1:3000": explaining.url.removeprefix("http://"),
        "127.0.0.1:3001": f"127.0.0.1:{grpc_port}",
        "pets-cnn": name,
    }

    def replaced(text: str) -> str:
        for place, ours in places.items():
            text = text.replace(place, ours)
        return text

    return replaced


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[-60:])
def test_commands_of_the_page_succeed(here: Callable[[str], str], folder: Path, command: str) -> None:
    checked = here(command).replace("curl ", "curl --fail-with-body --silent --show-error ")
    done = subprocess.run(["bash", "-ec", checked], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    response = json.loads(done.stdout)
    if "abstain" in command:
        shown = json.loads(blocks("json")[0])
        assert response.keys() == shown.keys()
        assert [prediction.keys() for prediction in response["predictions"]] == [shown["predictions"][0].keys()] * 2


@pytest.mark.parametrize("program", blocks("python"), ids=["triton", "grpc", "bentoml"])
def test_programs_of_the_page_run(here: Callable[[str], str], folder: Path, program: str) -> None:
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run(
        [sys.executable, "-c", here(program)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_error_example_matches_the_server(explaining_client: httpx.Client, folder: Path) -> None:
    image = io.BytesIO((folder / "photo.jpg").read_bytes()[:5000])
    response = explaining_client.post("/v1/classify", files={"image": image}).json()
    shown = json.loads(blocks("json")[1])
    assert {**response, "request_id": "…"} == shown


def test_error_table_is_complete() -> None:
    sources = [path.read_text() for path in Path(str(files("vitrail.serving"))).rglob("*.py")]
    sources.append((ROOT / "src/vitrail/errors.py").read_text().replace('code = "bad_image"', ""))
    raised = (
        r'Problem\(\s*\d{3},\s+"(\w+)"|unavailable\(\s*"(\w+)"|super\(\).__init__\(\d{3}, "(\w+)"'
        r'|code = "(\w+)"|\d{3}: "(\w+)"'
    )
    codes = {code for text in sources for groups in re.findall(raised, text) for code in groups if code}
    assert {code for _, cell, _ in rows("| status | code") for code in named(cell)} == codes


def test_statuses_match_openapi() -> None:
    operations = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]
    in_openapi = {status for operation in operations for status in operation["responses"]}
    documented = {row[0].strip() for row in rows("| status | code")}
    assert documented - {"405", "500", "501"} == in_openapi - {"200"}  # these come from every route, or before routing


def test_route_table_is_complete() -> None:
    documented = {
        path for cells in rows("| route |") for path in named(cells[0].replace("POST ", "").replace("GET ", ""))
    }
    left_out = {route.path for route in ROUTES if re.search(r"\.(css|js)$", route.path)}
    served = {"/v2/…" if route.path.startswith("/v2") else route.path for route in ROUTES} - left_out
    assert documented == served


def test_metric_table_is_complete(explaining_client: httpx.Client) -> None:
    counted = explaining_client.get("/metrics").text
    ours = set(re.findall(r"^# TYPE (vitrail_\w+)", counted, re.MULTILINE))
    ours = {name for name in ours if not name.endswith("_created")}
    assert {named(cells[0])[0].partition("{")[0] for cells in rows("| metric |")} == ours


def test_limits_match_the_source() -> None:
    documented = {cells[0].strip(): cells[1] for cells in rows("| | limit |")}
    limits: dict[str, list[float]] = {
        "a body": [body.MAX_BODY],
        "time to receive a body": [body.BODY_TIMEOUT, body.MIN_BODY_RATE],
        "the bodies of all requests together": [gate.MAX_HELD_BYTES],
        "the request line and the headers": [protocol.MAX_HEAD, protocol.HEAD_TIMEOUT],
        "headers of a form's part": [form.MAX_HEADERS, form.MAX_HEADER],
        "an image": [images.MAX_PIXELS, images.MAX_SIDE],
        "images a request": [settings.MAX_IMAGES],
        "images that wait for a decoder or for the model": [settings.QUEUE],
        "expected wait in the queue": [settings.WAIT, admission.SHORT_QUEUE],
        "images that wait to be explained": [inference.MAX_EXPLAIN_WAITING],
        "time for a response, once the body is received": [settings.DEADLINE],
    }
    for what, numbers in limits.items():
        for number in numbers:
            assert f"{number:,.0f}" in documented[what].split() or f"{number:g}" in documented[what].split(), what
    assert str(contract.MAX_SIDE) in documented["side of an array below `/v2`"]


def test_every_setting_is_documented() -> None:
    source = (ROOT / "serving/settings.py").read_text()
    assert set(re.findall(r'"(VITRAIL_\w+)"', source)) == set(re.findall(r"VITRAIL_\w+", PAGE))


def test_serve_help_names_the_limits_without_an_option() -> None:
    source = (ROOT / "serving/settings.py").read_text()
    options = {"VITRAIL_MODEL", "VITRAIL_PROVIDER", "VITRAIL_ALLOW_HOST", "VITRAIL_ALLOW_ORIGIN", "VITRAIL_GRPC"}
    options |= {"VITRAIL_PROCESSES", "VITRAIL_GPUS"}
    assert set(re.findall(r'"(VITRAIL_\w+)"', source)) - options == set(re.findall(r"VITRAIL_\w+", ABOUT))
