"""What the routes that take images share: images in, one prediction or error for each out."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from vitrail.errors import ImageError
from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.serving.engine.decoding import Canvas
from vitrail.serving.engine.engine import Engine
from vitrail.serving.http.cancellation import cancelled_with_client
from vitrail.serving.http.problems import Problem, image_problem
from vitrail.serving.routes.request_images import read_images
from vitrail.serving.settings import model_name


async def predict_images(request: Request) -> tuple[list[Canvas | ImageError], Outputs]:
    """Each image of the request as a canvas or an error, and the outputs for the canvases; raises if all are errors."""
    engine: Engine = request.app.state.engine
    images = await read_images(request)
    outputs: Outputs | None = None
    async with cancelled_with_client(request.receive, engine.deadline):
        canvases = await engine.decode(images)
        valid = [canvas for canvas in canvases if not isinstance(canvas, ImageError)]
        if valid:
            outputs = await engine.predict(valid)
    if outputs is None:
        raise no_good_image([canvas for canvas in canvases if isinstance(canvas, ImageError)])
    return canvases, outputs


def no_good_image(errors: list[ImageError]) -> Problem:
    """The error of the only image; of several, a 422 that lists each error."""
    problems = [image_problem(error) for error in errors]
    if len(problems) == 1:
        return problems[0]
    detail = f"none of the {len(problems)} images can be shown to the model"
    return Problem(422, "no_good_image", detail, members={"errors": [problem.document() for problem in problems]})


def predictions_response(
    model: DescribedModel, canvases: list[Canvas | ImageError], predictions: Iterable[dict[str, Any]]
) -> JSONResponse:
    """One entry per image, in order: the next prediction, or the image's error."""
    remaining = iter(predictions)
    entries = [
        {"error": image_problem(canvas).document()} if isinstance(canvas, ImageError) else next(remaining)
        for canvas in canvases
    ]
    return JSONResponse({"model": model_identity(model), "predictions": entries})


def model_identity(model: DescribedModel) -> dict[str, Any]:
    return {"name": model_name(model.card), "sha256": model.sha256}
