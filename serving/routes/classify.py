"""POST /v1/classify: images → labels, values, or a label for each place, as the model's task is."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vitrail.errors import ImageError
from vitrail.model_file.classifier import Classifier
from vitrail.serving.engine.engine import Canvas, Engine
from vitrail.serving.http.cancellation import attended
from vitrail.serving.http.problems import Problem, image_problem, problem_response
from vitrail.serving.http.request_images import images_in
from vitrail.serving.naming import model_name

Row = Mapping[str, NDArray[np.float32]]  # of one image, from each output


async def classify(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    model = engine.ready()
    await engine.admit()
    top_k, abstain = top_k_of(request, model), abstain_of(request, model)
    images = await images_in(request)
    async with attended(request.receive, engine.deadline):
        canvases = await engine.canvases(images)
        faults = [canvas for canvas in canvases if isinstance(canvas, ImageError)]
        if len(faults) == len(canvases):
            return refuse(request, faults)
        good = [canvas for canvas in canvases if not isinstance(canvas, ImageError)]
        answers = await engine.predict(good)
    rows = (answers.row(index) for index in range(len(good)))
    return JSONResponse({"model": identity(model), "predictions": predictions(model, canvases, rows, top_k, abstain)})


def top_k_of(request: Request, model: Classifier) -> int:
    text, classes = request.query_params.get("top_k"), len(model.card.classes)
    if text is None:
        return model.top_k
    if not model.task.ranks:
        raise Problem(400, "bad_top_k", f"top_k is for labels of an image; this model answers with {model.card.task}")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= classes):
        raise Problem(400, "bad_top_k", f"top_k must be a whole number from 1 to {classes}, the number of classes")
    return int(text)


def abstain_of(request: Request, model: Classifier) -> bool:
    text = request.query_params.get("abstain", "false")
    if text not in ("true", "false"):
        raise Problem(400, "bad_abstain", "abstain must be true or false")
    if text == "true" and model.card.abstention is None:
        raise Problem(
            400, "bad_abstain", f"abstain is for one label an image; this model answers with {model.card.task}"
        )
    return text == "true"


def refuse(request: Request, faults: list[ImageError]) -> Response:
    """No image was good: one speaks for itself, of several each is named."""
    problems = [image_problem(fault) for fault in faults]
    if len(problems) == 1:
        return problem_response(request, problems[0])
    whole = Problem(422, "no_good_image", f"none of the {len(problems)} images can be shown to the model")
    return problem_response(request, whole, errors=[problem.document() for problem in problems])


def identity(model: Classifier) -> dict[str, Any]:
    """Which model answered: enough to know the file again."""
    return {"name": model_name(model.card), "sha256": model.sha256}


def predictions(
    model: Classifier, canvases: list[Canvas | ImageError], rows: Iterable[Row], top_k: int, abstain: bool
) -> list[dict[str, Any]]:
    """The answer to each image; there is a row for each good one."""
    return in_order(canvases, (prediction(model, row, top_k, abstain) for row in rows))


def in_order(canvases: list[Canvas | ImageError], found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry an image, as they came: what was found for the good ones, and the error of each bad one."""
    good = iter(found)
    return [
        {"error": image_problem(canvas).document()} if isinstance(canvas, ImageError) else next(good)
        for canvas in canvases
    ]


def prediction(model: Classifier, row: Row, top_k: int, abstain: bool) -> dict[str, Any]:
    """The answer; and where it was asked for, whether it is too unsure to be given at all."""
    told = model.payload(row, top_k)
    return {**told, "none_of_these": model.none_of_these(row["probabilities"])} if abstain else told
