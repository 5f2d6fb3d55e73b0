"""vitrail demo: build and serve a model of the embedded digits, and draw its learning curves."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.request import Request, urlopen

from vitrail.errors import VitrailError
from vitrail.parsers import Parser

ABOUT = """The whole way on the embedded digits: build a model, draw the learning curves of a ViT and a CNN, serve the
model, and classify an image over HTTP.

Results go to --folder. The server stays up until Ctrl-C, unless --no-stay is given."""

MINUTES = 2.0
RECIPES = ("digits-vit", "digits-cnn")
SIZES = (90, 360, 1438)
READY_SECONDS = 60


def main(args: Sequence[str]) -> int:
    parser = Parser("demo", ABOUT)
    parser.add_argument("--no-stay", action="store_true", help="end after the request instead of serving on")
    parser.add_argument("--folder", type=Path, help="where results go (default: runs/demo, numbered if taken)")
    parser.add_argument("--port", type=int, help="port of the server (default: 3000 if it is free)")
    options = parser.parse_args(args)

    from vitrail.training.build import build
    from vitrail.training.process import prepare_process
    from vitrail.training.runs import new_run

    folder = options.folder or new_run("demo")
    print(f"vitrail build digits --offline --minutes {MINUTES:g}\n", flush=True)
    prepare_process()
    model = build("digits", folder / "model", MINUTES, offline=True, progress=lambda line: print(line, flush=True))
    print(f"report: {model / 'report.html'}")
    draw_curves(folder)
    write_digit(folder / "digit.png")
    port = options.port or free_port(3000)
    address = f"http://127.0.0.1:{port}"
    with serving(model, port) as server:
        wait_until_ready(server, address)
        classify(address, folder / "digit.png")
        if not options.no_stay:
            print(f"\nTry an image of yours at {address} (Ctrl-C ends)", flush=True)
            wait_for_ctrl_c(server)
    return 0


def draw_curves(folder: Path) -> None:
    """Learning curves of both recipes: would more images help, and which network?"""
    from vitrail.training.study.learning_curves import plot, table, train_and_test

    points = [train_and_test(recipe, size, folder) for size in SIZES for recipe in RECIPES]
    print(f"\nTest accuracy by labelled images, 95 % interval in brackets:\n\n{table(points)}\n")
    plot(points, folder / "learning_curves.png")
    print(f"plot: {folder / 'learning_curves.png'}")


def write_digit(path: Path) -> None:
    """One test image as a file, to be sent over HTTP."""
    from PIL import Image

    from vitrail.data import Digits
    from vitrail.images.canvas import InputRule

    Image.fromarray(Digits().read("test", InputRule(8)).images[0]).save(path)


@contextmanager
def serving(model: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The model's server as a process of its own, which ends with the block."""
    server = subprocess.Popen([sys.executable, "-m", "vitrail", "serve", str(model), "--port", str(port)])
    try:
        yield server
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until_ready(server: subprocess.Popen[bytes], address: str) -> None:
    end = monotonic() + READY_SECONDS
    while monotonic() < end:
        if server.poll() is not None:
            raise VitrailError(f"the server ended with code {server.returncode} before it was ready")
        try:
            with urlopen(f"{address}/readyz", timeout=2):
                return
        except OSError:  # refused, or accepted without a response yet
            sleep(0.2)
    raise VitrailError(f"the server was not ready within {READY_SECONDS} seconds")


def classify(address: str, image: Path) -> None:
    """Send one image as curl would, and print the labels."""
    url = f"{address}/v1/classify?top_k=3"
    request = Request(url, image.read_bytes(), {"Content-Type": "image/png"})
    with urlopen(request, timeout=30) as response:
        payload = json.load(response)
    print(f"\ncurl --data-binary @{image} -H 'Content-Type: image/png' '{url}'")
    for label in payload["predictions"][0]["labels"]:
        print(f"  {label['label']}  {label['probability']:.4f}")


def free_port(wanted: int) -> int:
    """The wanted port where it can be bound, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise VitrailError("no port is free")


def wait_for_ctrl_c(server: subprocess.Popen[bytes]) -> None:
    """Wait for Ctrl-C, or for the server to end."""
    try:
        code = server.wait()
    except KeyboardInterrupt:
        print()
    else:
        raise VitrailError(f"the server ended with code {code}")
