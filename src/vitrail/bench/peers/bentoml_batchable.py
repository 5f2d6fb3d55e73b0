"""BentoML's own batchable API: files of several requests in one call, decoded in threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
from peer_model import CORES, Model


@bentoml.service(threads=CORES, logging={"access": {"enabled": False}})
class Batchable:
    def __init__(self) -> None:
        self.model = Model()
        self.decoders = ThreadPoolExecutor(CORES)

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=60_000)
    def classify(self, image: list[Path]) -> list[dict[str, Any]]:
        canvases = self.decoders.map(lambda path: self.model.canvas(path.read_bytes()), image)
        return self.model.predictions(list(canvases))
