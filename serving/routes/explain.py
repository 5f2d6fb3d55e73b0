"""POST /v1/explain: one image → where in it the evidence for a label lies."""

import io
from base64 import b64encode
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vitrail.errors import ImageError
from vitrail.model_file.classifier import Classifier
from vitrail.plots.overlay import draw_overlay
from vitrail.serving.engine.engine import Canvas, Engine
from vitrail.serving.http.cancellation import attended
from vitrail.serving.http.problems import Problem, image_problem
from vitrail.serving.http.request_images import images_in
from vitrail.serving.routes.classify import identity


async def explain(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    model, explainer = engine.ready(), engine.explains()
    await engine.admit()
    index, drawn = label_of(request, model), overlay_of(request)
    images = await images_in(request)
    if len(images) > 1:
        raise Problem(400, "one_image", f"one image is explained at a time; {len(images)} were sent")
    async with attended(request.receive, engine.deadline):
        (canvas,) = await engine.canvases(images)
        if isinstance(canvas, ImageError):
            raise image_problem(canvas)
        if index is None:
            index = int((await engine.predict([canvas])).probabilities[0].argmax())
        evidence = await engine.evidence(canvas, index)
        answer: dict[str, Any] = {
            "model": identity(model),
            "label": model.card.classes[index],
            "kind": explainer.card.evidence.kind,
            "evidence": evidence.tolist(),
        }
        if drawn:
            answer["overlay"] = await engine.decoders.run(partial(overlay, canvas, evidence))
    return JSONResponse(answer)


def label_of(request: Request, model: Classifier) -> int | None:
    """The class that was asked for; none means the most probable one."""
    label = request.query_params.get("label")
    if label is None:
        return None
    if label not in model.card.classes:
        raise Problem(400, "unknown_label", f"the model knows no label {label[:80]!r}; /v1/model lists its classes")
    return model.card.classes.index(label)


def overlay_of(request: Request) -> bool:
    """Whether a drawing was asked for, too."""
    kind = request.query_params.get("overlay")
    if kind not in (None, "png"):
        raise Problem(400, "bad_overlay", "overlay must be png, or be left out")
    return kind == "png"


def overlay(canvas: Canvas, evidence: NDArray[np.float32]) -> str:
    """The drawing as a PNG in base64."""
    file = io.BytesIO()
    draw_overlay(canvas, evidence).save(file, "PNG")
    return b64encode(file.getvalue()).decode()
