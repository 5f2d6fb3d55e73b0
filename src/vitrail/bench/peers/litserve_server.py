"""LitServe as its guide says: requests batched, decoding in threads, the fast queue between its processes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litserve
from fastapi import Request
from peer_model import CORES, PORT, Canvas, Model


class Classify(litserve.LitAPI):
    """Decoded in `batch`, whose pool takes the images of a batch together; `decode_request` has them one by one."""

    def setup(self, device: Any) -> None:
        self.model = Model()
        self.decoders = ThreadPoolExecutor(CORES)

    def decode_request(self, request: Request) -> bytes:
        data: bytes = request["image"].file.read()
        return data

    def batch(self, inputs: list[bytes]) -> list[Canvas]:
        return list(self.decoders.map(self.model.canvas, inputs))

    def predict(self, x: list[Canvas]) -> list[dict[str, Any]]:
        return self.model.predictions(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return {"predictions": [output]}


if __name__ == "__main__":
    api = Classify(max_batch_size=32, batch_timeout=0.002, api_path="/classify")
    litserve.LitServer(api, accelerator="cpu", fast_queue=True).run(
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        generate_client_file=False,
    )
