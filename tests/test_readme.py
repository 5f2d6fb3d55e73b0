"""The README's commands, run as written on a folder of images, with short training."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

import httpx
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.images.canvas import InputRule

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHORT = ["--trainer.max_steps=3"]
SMALL = ["--data.size=64"]
# Run by hand and by continuous integration: here they would start themselves.
ELSEWHERE = {"make demo", "make test", "source .venv/bin/activate"}
# Takes the minutes that it is given; tests/training/build runs it and loads what it wrote.
ELSEWHERE |= {"vitrail build my_images --serve", "vitrail build my_images", "vitrail serve my_images-model"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line not in ELSEWHERE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory: `my_images` with a folder a class, and `photo.jpg`."""
    folder = tmp_path_factory.mktemp("reader")
    images = Digits().read("val", InputRule(8))
    few = zip(images.images[:80], images.labels[:80], strict=True)
    for number, (image, label) in enumerate(few):
        path = folder / f"my_images/{'cat' if label < 5 else 'dog'}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    Image.fromarray(load_sample_images().images[1]).save(folder / "photo.jpg", quality=95)
    return folder


@pytest.fixture(
    scope="module", params=[True, pytest.param(False, marks=pytest.mark.long)], ids=["trained here", "a process each"]
)
def outputs(request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, str]]:
    """The output of every command; the server listens on a free port and ends with the tests.

    Each process that trains imports for ten seconds, so `fit`, `test` and `export` also run in this one,
    on smaller canvases.
    """
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    printed: dict[str, str] = {}
    servers = []
    for command in commands():
        argv = shlex.split(command.replace(":3000", f":{port}"))
        if argv[:2] == ["vitrail", "serve"]:
            servers.append(subprocess.Popen([*argv, "--port", port], cwd=folder, env=environment))
            wait_until_ready(f"http://127.0.0.1:{port}/readyz")
            continue
        argv += SHORT if argv[:2] == ["vitrail", "fit"] else []
        if request.param and argv[1] in ("fit", "test", "export"):
            printed[command] = run_here([*argv[1:], *(SMALL if argv[1] == "fit" else [])], folder)
            continue
        done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        printed[command] = done.stdout
    yield printed
    for server in servers:
        server.terminate()
        assert server.wait(30) == 0


def run_here(argv: list[str], folder: Path) -> str:
    with chdir(folder), redirect_stdout(StringIO()) as output:
        assert main(argv) == 0
    return output.getvalue()


def wait_until_ready(address: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(address, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{address} was not ready within a minute")


def output_of(outputs: dict[str, str], start: str) -> str:
    (text,) = (text for command, text in outputs.items() if command.startswith(start))
    return text


def test_the_two_commands_are_targets_of_make() -> None:
    assert "make demo\nmake test\n" in blocks("sh")
    for target in ("demo", "test"):
        listed = subprocess.run(
            ["make", "-n", "-o", ".venv/.ready", target], cwd=ROOT, capture_output=True, check=False
        )
        assert listed.returncode == 0


def test_every_command_does_what_is_documented(outputs: dict[str, str], folder: Path) -> None:
    assert output_of(outputs, "vitrail test").startswith("top-1 ")
    assert "2: cat, dog" in output_of(outputs, "vitrail inspect")
    assert output_of(outputs, "vitrail classify").startswith("photo.jpg: ")
    assert (folder / "model.onnx").is_file()


def test_the_server_responds_in_the_documented_form(outputs: dict[str, str]) -> None:
    payload, shown = json.loads(output_of(outputs, "curl")), json.loads(blocks("json")[0])
    assert payload.keys() == shown.keys()
    assert set(shown["model"]) <= set(payload["model"])
    label = payload["predictions"][0]["labels"][0]
    assert label.keys() == shown["predictions"][0]["labels"][0].keys()
    assert label["label"] in ("cat", "dog")


def test_the_program_gives_the_prediction_of_the_command(outputs: dict[str, str], folder: Path) -> None:
    """The photo whole, resized in the graph: the same class, and nearly the same probability."""
    first_program, program = blocks("python")
    printed = output_of(outputs, "vitrail classify").removeprefix("photo.jpg: ")
    assert run_program(first_program, folder) == printed
    label, probability = run_program(program, folder).split()
    shown = printed.split(", ")[0].split()
    assert label == shown[0]
    assert float(probability) == pytest.approx(float(shown[1]), abs=0.02)
    assert "torch" not in program


def run_program(text: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
