"""POST /v1/classify: images → labels or values, of an image or of each cell of a grid; a sequence; or boxes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from vitrail.model_file.described import DescribedModel
from vitrail.serving.engine.engine import Engine
from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.predictions import predict_images, predictions_response

Row = Mapping[str, NDArray[np.float32]]  # one image's row of each output


async def classify(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    model = engine.ready()
    await engine.admit(request.state.in_flight)
    top_k, abstain = parse_top_k(request, model), parse_abstain(request, model)
    canvases, outputs = await predict_images(request)
    rows = (outputs.row(index) for index in range(len(canvases)))
    return predictions_response(model, canvases, (prediction(model, row, top_k, abstain) for row in rows))


def parse_top_k(request: Request, model: DescribedModel) -> int:
    text, classes = request.query_params.get("top_k"), len(model.card.classes)
    if text is None:
        return model.top_k
    if not model.task.ranks:
        raise Problem(400, "bad_top_k", f"top_k is for labels of an image; this model's task is {model.card.task}")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= classes):
        raise Problem(400, "bad_top_k", f"top_k must be a whole number from 1 to {classes}, the number of classes")
    return int(text)


def parse_abstain(request: Request, model: DescribedModel) -> bool:
    text = request.query_params.get("abstain", "false")
    if text not in ("true", "false"):
        raise Problem(400, "bad_abstain", "abstain must be true or false")
    if text == "true" and model.card.abstention is None:
        raise Problem(
            400, "bad_abstain", f"abstain is for models with one label an image; this model's task is {model.card.task}"
        )
    return text == "true"


def prediction(model: DescribedModel, row: Row, top_k: int, abstain: bool) -> dict[str, Any]:
    """The payload; with `abstain`, also whether it is too uncertain to be used."""
    payload = model.payload(row, top_k)
    return {**payload, "none_of_these": model.none_of_these(row["probabilities"])} if abstain else payload
