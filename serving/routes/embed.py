"""POST /v1/embed: images → the vectors that the model's last layer reads."""

from starlette.requests import Request
from starlette.responses import Response

from vitrail.serving.engine.engine import Engine
from vitrail.serving.routes.predictions import predict_images, predictions_response


async def embed(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    model = engine.ready()
    await engine.admit(request.state.in_flight)
    canvases, outputs = await predict_images(request)
    return predictions_response(model, canvases, ({"embedding": row.tolist()} for row in outputs.embedding))
