"""POST /v1/embed: images → the vectors that the model's last layer reads."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vitrail.errors import ImageError
from vitrail.serving.engine.engine import Engine
from vitrail.serving.http.cancellation import attended
from vitrail.serving.http.request_images import images_in
from vitrail.serving.routes.classify import identity, in_order, refuse


async def embed(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    model = engine.ready()
    await engine.admit()
    images = await images_in(request)
    async with attended(request.receive, engine.deadline):
        canvases = await engine.canvases(images)
        faults = [canvas for canvas in canvases if isinstance(canvas, ImageError)]
        if len(faults) == len(canvases):
            return refuse(request, faults)
        good = [canvas for canvas in canvases if not isinstance(canvas, ImageError)]
        rows = (await engine.predict(good)).embedding
    found = in_order(canvases, ({"embedding": row.tolist()} for row in rows))
    return JSONResponse({"model": identity(model), "predictions": found})
