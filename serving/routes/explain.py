"""POST /v1/explain: one image → a grid of evidence for a label."""

import io
from base64 import b64encode
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vitrail.errors import ImageError
from vitrail.model_file.described import DescribedModel
from vitrail.plots.overlay import draw_overlay
from vitrail.serving.engine.decoding import Canvas
from vitrail.serving.engine.engine import Engine
from vitrail.serving.http.cancellation import cancelled_with_client
from vitrail.serving.http.problems import Problem, image_problem
from vitrail.serving.routes.predictions import model_identity
from vitrail.serving.routes.request_images import read_images


async def explain(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    model, card = engine.ready(), engine.require_explanations()
    await engine.admit(request.state.in_flight)
    index, with_overlay = parse_label(request, model), parse_overlay(request)
    images = await read_images(request)
    if len(images) > 1:
        raise Problem(400, "one_image", f"one image is explained at a time; {len(images)} were sent")
    async with cancelled_with_client(request.receive, engine.deadline):
        (canvas,) = await engine.decode(images)
        if isinstance(canvas, ImageError):
            raise image_problem(canvas)
        if index is None:
            index = int((await engine.predict([canvas])).probabilities[0].argmax())
        evidence = await engine.explain(canvas, index)
        explanation: dict[str, Any] = {
            "model": model_identity(model),
            "label": model.card.classes[index],
            "kind": card.evidence.kind,
            "evidence": evidence.tolist(),
        }
        if with_overlay:
            explanation["overlay"] = await engine.decoder.pool.run(partial(overlay_png, canvas, evidence))
    return JSONResponse(explanation)


def parse_label(request: Request, model: DescribedModel) -> int | None:
    """The index of the requested class; None for the most probable one."""
    label = request.query_params.get("label")
    if label is None:
        return None
    if label not in model.card.classes:
        raise Problem(400, "unknown_label", f"the model has no label {label[:80]!r}; /v1/model lists its classes")
    return model.card.classes.index(label)


def parse_overlay(request: Request) -> bool:
    overlay = request.query_params.get("overlay")
    if overlay not in (None, "png"):
        raise Problem(400, "bad_overlay", "overlay must be png, or be left out")
    return overlay == "png"


def overlay_png(canvas: Canvas, evidence: NDArray[np.float32]) -> str:
    """A PNG in base64."""
    file = io.BytesIO()
    draw_overlay(canvas, evidence).save(file, "PNG")
    return b64encode(file.getvalue()).decode()
