"""How many processes should answer: measured, before a server starts, in a process that ends with it.

An event loop uses one core at most. Where the model takes longer than that loop, one process is best, as it hands
nothing over; where the loop would be what everything waits for, several share its work.
"""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vitrail
from vitrail.errors import VitrailError
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Outputs
from vitrail.runtime.providers import usable_cores
from vitrail.serving.engine.inference import Adopt, Block, Canvas, Loaded
from vitrail.serving.processes.small_model import SMALL
from vitrail.serving.settings import MAX_PROCESSES, Settings

SHARED = 1.3  # times the work of an event loop, where requests are handed over to another process
CLIENTS = 16
REQUESTS = 100  # of each client

log = logging.getLogger("bentoml.vitrail")


def best_count(cores: int, answer: float, image: float, *, on_cpu: bool, gpus: int = 1) -> int:
    """Processes that answer, by the seconds of a core that a request takes without the model, and those of an image.

    One, unless several would answer more: what one event loop can do, against what all cores can. A small model they
    compute themselves, so nothing is handed over.
    """
    if on_cpu and image < SMALL:
        return min(cores, MAX_PROCESSES)
    work = SHARED * answer + (image if on_cpu else 0.0)
    everything = cores / work if on_cpu else min(cores / work, gpus / image)
    if everything <= 1 / answer:
        return 1
    return min(ceil(everything * answer), cores, MAX_PROCESSES)


def measured_count(gpus: int = 1) -> int:
    """What a process of its own measures, for so many engines; one where it cannot."""
    command = [sys.executable, "-m", __name__, str(gpus)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(vitrail.__file__).parents[1])
    if done.returncode:
        log.warning("one process answers, as nothing could be measured: %s", (done.stderr.splitlines() or [""])[-1])
        return 1
    result = json.loads(done.stdout.splitlines()[-1])
    log.info(
        "%d %s: a request takes %.2f ms of a core without the model, and an image %.2f ms of the model",
        result["count"],
        "process answers" if result["count"] == 1 else "processes answer",
        1000 * result["answer"],
        1000 * result["image"],
    )
    return int(result["count"])


def main() -> None:
    from vitrail.serving.engine.start_up import open_model

    try:
        model, batch = open_model()
    except VitrailError as error:
        sys.exit(str(error))
    image = image_seconds(model, batch)
    answer = asyncio.run(answer_seconds(model))
    count = best_count(usable_cores(), answer, image, on_cpu=model.is_on_cpu, gpus=int(sys.argv[1]))
    sys.stdout.write(json.dumps({"count": count, "answer": answer, "image": image}) + "\n")


def image_seconds(model: Classifier, batch: int) -> float:
    """Of a core on a CPU, else of the GPU; in batches of this size."""
    from vitrail.images.golden import golden_images

    images = np.stack([golden_images(model.card.input)[-2]] * batch)
    clock = time.process_time if model.is_on_cpu else time.perf_counter
    begin, runs = clock(), 0
    while clock() - begin < 0.3 or runs < 3:
        model.predict(images)
        runs += 1
    return (clock() - begin) / runs / batch


class Instant:
    """Outputs without a model."""

    capacity, waiting_size, rate = 256, 0, 1e-6
    waiting: Mapping[str, int] = {}

    def __init__(self, model: Classifier, outputs: Outputs) -> None:
        self.model, self.outputs = model, outputs

    async def load(self, limits: Settings, address: str, adopt: Adopt) -> None:
        adopt(Loaded(self.model, None))

    async def predict(self, blocks: list[Block]) -> Outputs:
        return self.outputs

    async def predict_resized(self, images: NDArray[np.uint8]) -> Outputs:
        return self.outputs

    async def explain(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


async def answer_seconds(model: Classifier) -> float:
    """Seconds of a core for a small image over HTTP, without the model."""
    import io
    import socket

    import uvicorn
    from PIL import Image

    from vitrail.images.golden import golden_images
    from vitrail.serving.app import build_app
    from vitrail.serving.http.gate import Gate
    from vitrail.serving.http.middleware import TelemetryMiddleware
    from vitrail.serving.http.protocol import HttpProtocol

    canvas = golden_images(model.card.input)[-2]
    outputs = model.predict(canvas[None])
    file = io.BytesIO()
    Image.fromarray(canvas[:32, :32]).save(file, "PNG")
    head = f"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {file.tell()}"
    request = f"{head}\r\n\r\n".encode() + file.getvalue()

    gate = Gate()
    app = build_app(nullcontext, "", gate, inference=lambda: Instant(model, outputs))
    config = uvicorn.Config(TelemetryMiddleware(app, gate), http=HttpProtocol, log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[]))
    while not server.started:
        await asyncio.sleep(0.01)
    state: dict[str, Any] = {"config": config, "server_state": server.server_state, "app_state": server.lifespan.state}
    loop = asyncio.get_running_loop()

    async def client() -> None:
        ours, theirs = socket.socketpair()
        await loop.connect_accepted_socket(lambda: HttpProtocol(**state), theirs)
        reader, writer = await asyncio.open_connection(sock=ours)
        for _ in range(REQUESTS):
            writer.write(request)
            answered = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert answered.startswith(b"http/1.1 200")
            await reader.readexactly(int(answered.partition(b"content-length:")[2].split(b"\r\n")[0]))
        writer.close()

    await client()  # as a warm-up
    begin = time.process_time()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    seconds = (time.process_time() - begin) / (CLIENTS * REQUESTS)
    server.should_exit = True
    await serving
    return seconds


if __name__ == "__main__":
    main()
