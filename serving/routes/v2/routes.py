"""The routes below /v2: health, metadata and inference."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vitrail import __version__
from vitrail.errors import ImageError
from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.serving.contract import INPUT, VECTORS
from vitrail.serving.engine.decoding import Canvas
from vitrail.serving.engine.engine import STOPPING, Engine
from vitrail.serving.http.body import is_compressed, read_body
from vitrail.serving.http.cancellation import cancelled_with_client
from vitrail.serving.http.middleware import RETRY
from vitrail.serving.http.problems import Problem, image_problem
from vitrail.serving.routes.v2.request import ModelOutputs, parse_request
from vitrail.serving.routes.v2.response import LENGTH_HEADER, VERSION, inference_response
from vitrail.serving.routes.v2.tensors import Data
from vitrail.serving.settings import model_name

MEDIA_TYPES = ("", "application/json", "application/octet-stream")
EXTENSIONS = ["binary_tensor_data", "classification"]


async def server(request: Request) -> Response:
    return JSONResponse({"name": "vitrail", "version": __version__, "extensions": EXTENSIONS})


async def live(request: Request) -> Response:
    return JSONResponse({"live": True})


async def ready(request: Request) -> Response:
    require_ready(request)
    return JSONResponse({"ready": True})


async def model(request: Request) -> Response:
    return JSONResponse(description(require_model(request)))


def description(classifier: DescribedModel) -> dict[str, Any]:
    """The model's metadata, as the protocol names them."""
    width = classifier.card.input.width
    pixels = {"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}
    vectors = {"name": VECTORS, "datatype": "FP32", "shape": [-1, -1, width]}
    return {
        "name": model_name(classifier.card),
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [pixels if width is None else vectors],
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": [-1, *classifier.shapes[name][1:]]}
            for name in classifier.task.outputs
        ],
    }


async def model_ready(request: Request) -> Response:
    name = model_name(require_model(request).card)
    require_ready(request)
    return JSONResponse({"name": name, "ready": True})


def require_ready(request: Request) -> None:
    engine: Engine = request.app.state.engine
    loaded(engine)
    if reason := engine.not_ready_reason:
        raise Problem(503, "not_ready", f"not ready: {reason}", RETRY)


async def infer(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    engine.ready()
    classifier = require_model(request)
    await engine.admit(request.state.in_flight)
    require_media_type(request)
    length = parse_json_length(request)
    body = await read_body(request)
    if length is not None and length > len(body):
        raise bad_length(f"it says {length:,}, but the body has {len(body):,} bytes")
    async with cancelled_with_client(request.receive, engine.deadline):
        parse = partial(parse_request, body, length, available_outputs(classifier))
        inference = await engine.decoder.parse(parse, len(body) if length is None else length)
        outputs = await predict_data(engine, inference.images)
    return inference_response(classifier, inference, outputs)


def loaded_model(request: Request) -> DescribedModel:
    return loaded(request.app.state.engine)


def loaded(engine: Engine) -> DescribedModel:
    """The model; unlike `Engine.ready`, a failure is not counted as a refused request."""
    if not engine.gate.is_open:
        raise Problem(503, "draining", STOPPING, RETRY)
    if engine.model is None:
        raise Problem(503, "not_ready", f"not ready: {engine.reason}", RETRY)
    return engine.model


def require_model(request: Request) -> DescribedModel:
    """The model named in the path."""
    classifier = loaded_model(request)
    refuse_another(classifier, request.path_params["name"], request.path_params.get("version", VERSION))
    return classifier


def refuse_another(classifier: DescribedModel, name: str, version: str) -> None:
    """A server has one model, in one version."""
    if name != (own := model_name(classifier.card)):
        raise Problem(404, "unknown_model", f"there is no model {name[:80]!r} here; there is {own!r}")
    if version != VERSION:
        raise Problem(404, "unknown_version", f"there is no version {version[:80]!r} of {own}; there is {VERSION!r}")


def require_media_type(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise Problem(
            415,
            "unsupported_media_type",
            "send application/json, or application/octet-stream with the header Inference-Header-Content-Length",
            {"accept": ", ".join(MEDIA_TYPES[1:])},
        )
    if is_compressed(request):
        raise Problem(415, "unsupported_encoding", "the body must not be compressed")


def parse_json_length(request: Request) -> int | None:
    """The length of the JSON, where binary tensors follow it."""
    text = request.headers.get(LENGTH_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_length(f"{text[:80]!r} is not a number of bytes")
    return int(text)


def bad_length(why: str) -> Problem:
    return Problem(400, "bad_header_length", f"Inference-Header-Content-Length is the length of the JSON; {why}")


def available_outputs(model: DescribedModel) -> ModelOutputs:
    """The model's outputs, and those with one score per class."""
    outputs, rule = model.task.outputs, model.card.input
    return ModelOutputs(outputs, outputs[:2] if model.task.ranks else (), None if rule.width is None else rule)


async def predict_data(engine: Engine, images: Data) -> Outputs:
    if not isinstance(images, list):
        return await engine.predict_array(images)
    return await engine.predict(require_all_valid(await engine.decode(images)))


def require_all_valid(canvases: list[Canvas | ImageError]) -> list[Canvas]:
    """Tensors have no place for the error of one image, so the whole request fails."""
    valid = []
    for number, canvas in enumerate(canvases):
        if isinstance(canvas, ImageError):
            problem = image_problem(canvas)
            raise Problem(problem.status, problem.code, f"image {number}: {problem}")
        valid.append(canvas)
    return valid


MODEL = "/v2/models/{name}"
OF_VERSION = MODEL + "/versions/{version}"

ROUTES = [
    Route("/v2", server),
    Route("/v2/health/live", live),
    Route("/v2/health/ready", ready),
    *(Route(path, model) for path in (MODEL, OF_VERSION)),
    *(Route(f"{path}/ready", model_ready) for path in (MODEL, OF_VERSION)),
    *(Route(f"{path}/infer", infer, methods=["POST"]) for path in (MODEL, OF_VERSION)),
]
