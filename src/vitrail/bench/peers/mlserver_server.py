"""MLServer with a runtime of one's own, as its guide says: adaptive batching, inference in its own process."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import uvloop
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from peer_model import CORES, PORT, Model


class Classify(MLModel):
    async def load(self) -> bool:
        self.model = Model()
        self.threads = ThreadPoolExecutor(CORES)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = Base64Codec.decode_input(payload.inputs[0])
        loop = asyncio.get_running_loop()
        canvases = await asyncio.gather(
            *(loop.run_in_executor(self.threads, self.model.canvas, image) for image in images)
        )
        rows = await loop.run_in_executor(self.threads, self.model.predictions, list(canvases))
        output = StringCodec.encode_output("labels", [json.dumps(row) for row in rows])
        return InferenceResponse(model_name=self.name, outputs=[output])


def free_port() -> int:
    """For gRPC, which MLServer cannot leave out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def main() -> None:
    settings = Settings(
        host="127.0.0.1", http_port=PORT, grpc_port=free_port(), metrics_endpoint=None, parallel_workers=0, debug=False
    )
    model = ModelSettings(name="classify", implementation=Classify, max_batch_size=32, max_batch_time=0.002)
    await MLServer(settings).start([model])


if __name__ == "__main__":
    uvloop.run(main())
