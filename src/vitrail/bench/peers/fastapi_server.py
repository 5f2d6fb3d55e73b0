"""FastAPI + onnxruntime as a careful user writes it: decoding and inference in threads, off the event loop."""

from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile
from fastapi.concurrency import run_in_threadpool
from peer_model import PORT, Model

app = FastAPI()
model = Model()


def predict(data: bytes) -> dict[str, Any]:
    return {"predictions": model.predictions([model.canvas(data)])}


@app.post("/classify")
async def classify(image: UploadFile) -> Any:
    return await run_in_threadpool(predict, await image.read())


@app.get("/ready")
async def ready() -> None:
    return None


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
