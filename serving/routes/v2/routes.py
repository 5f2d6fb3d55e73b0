"""The routes below /v2: health, what there is, and answers to tensors."""

from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vitrail import __version__
from vitrail.errors import ImageError
from vitrail.model_file.classifier import Classifier, Outputs
from vitrail.serving.engine.engine import STOPPING, Canvas, Engine
from vitrail.serving.http.body import is_compressed, read_body
from vitrail.serving.http.cancellation import attended
from vitrail.serving.http.middleware import RETRY
from vitrail.serving.http.problems import Problem, image_problem
from vitrail.serving.naming import model_name
from vitrail.serving.routes.v2.request import INPUT, Offered, read_asked
from vitrail.serving.routes.v2.response import LENGTH_HEADER, VERSION, answer_response
from vitrail.serving.routes.v2.tensors import Data

KINDS = ("", "application/json", "application/octet-stream")
EXTENSIONS = ["binary_tensor_data", "classification"]


async def server(request: Request) -> Response:
    return JSONResponse({"name": "vitrail", "version": __version__, "extensions": EXTENSIONS})


async def live(request: Request) -> Response:
    return JSONResponse({"live": True})


async def ready(request: Request) -> Response:
    require_ready(request)
    return JSONResponse({"ready": True})


async def model(request: Request) -> Response:
    found = named(request)
    outputs = {output.name: output.shape for output in found.session.get_outputs()}
    return JSONResponse(
        {
            "name": model_name(found.card),
            "versions": [VERSION],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
            "outputs": [
                {"name": name, "datatype": "FP32", "shape": [-1, *outputs[name][1:]]} for name in found.task.outputs
            ],
        }
    )


async def model_ready(request: Request) -> Response:
    return JSONResponse({"name": model_name(named(request).card), "ready": True})


async def infer(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    engine.ready()
    found = named(request)
    await engine.admit()
    require_kind(request)
    length = length_of(request)
    body = await read_body(request)
    if length is not None and length > len(body):
        raise bad_length(f"it says {length:,}, and the body has {len(body):,} bytes")
    async with attended(request.receive, engine.deadline):
        read = partial(read_asked, body, length, offered_by(found))
        asked = await engine.read(read, len(body) if length is None else length)
        answers = await answers_to(engine, asked.images)
    return answer_response(found, asked, answers)


def require_ready(request: Request) -> Classifier:
    """The model; asking for it is no request that is turned away, and is not counted as one."""
    engine: Engine = request.app.state.engine
    if not engine.door.open:
        raise Problem(503, "draining", STOPPING, RETRY)
    if engine.model is None:
        raise Problem(503, "not_ready", f"not ready: {engine.reason}", RETRY)
    return engine.model


def named(request: Request) -> Classifier:
    """The model that the address names; a server has one, in one version."""
    found = require_ready(request)
    name, version = request.path_params["name"], request.path_params.get("version", VERSION)
    if name != (own := model_name(found.card)):
        raise Problem(404, "unknown_model", f"there is no model {name[:80]!r} here; there is {own!r}")
    if version != VERSION:
        raise Problem(404, "unknown_version", f"there is no version {version[:80]!r} of {own}; there is {VERSION!r}")
    return found


def require_kind(request: Request) -> None:
    """A body of tensors, not compressed."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in KINDS:
        raise Problem(
            415,
            "unsupported_media_type",
            "send application/json, or application/octet-stream with the header Inference-Header-Content-Length",
            {"accept": ", ".join(KINDS[1:])},
        )
    if is_compressed(request):
        raise Problem(415, "unsupported_encoding", "the body must not be compressed")


def length_of(request: Request) -> int | None:
    """How many bytes of the body are JSON, where tensors follow it."""
    text = request.headers.get(LENGTH_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_length(f"{text[:80]!r} is no number of bytes")
    return int(text)


def bad_length(why: str) -> Problem:
    return Problem(400, "bad_header_length", f"Inference-Header-Content-Length is how long the JSON is; {why}")


def offered_by(model: Classifier) -> Offered:
    """Classes can be told of an output that has one number for each."""
    outputs = model.task.outputs
    return Offered(outputs, outputs[:2] if model.task.ranks else ())


async def answers_to(engine: Engine, images: Data) -> Outputs:
    if not isinstance(images, list):
        return await engine.predict_array(images)
    return await engine.predict(good(await engine.canvases(images)))


def good(canvases: list[Canvas | ImageError]) -> list[Canvas]:
    """All of them; tensors have no place for the error of one, so it is the whole request's."""
    kept = []
    for number, canvas in enumerate(canvases):
        if isinstance(canvas, ImageError):
            problem = image_problem(canvas)
            raise Problem(problem.status, problem.code, f"image {number}: {problem}")
        kept.append(canvas)
    return kept


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
