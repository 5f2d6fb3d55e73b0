"""The routes below /v2: the Open Inference Protocol."""

from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.http.request_images import MAX_IMAGES
from vitrail.serving.openapi.parts import FILE, content, get, not_ready, overloaded, problems
from vitrail.serving.openapi.schemas import TEXT, WHOLE, Json, ref
from vitrail.serving.routes.v2.tensors import MAX_SIDE

KIND = "ProtocolProblem"
UNKNOWN = problems(KIND, _404="unknown_model or unknown_version: the server has one model, in one version, 1")
JSON_AND_BYTES: Json = {**FILE, "description": "the same JSON without data, and behind it the bytes of each tensor"}
LENGTH = "Inference-Header-Content-Length"


def part(name: str, what: str) -> Json:
    """A part of the address."""
    return {"name": name, "in": "path", "required": True, "description": what, "schema": TEXT}


NAME = part("name", "The model's name, as /v1/model tells it")
VERSION = part("version", "The model's version: 1")


def health(name: str, what: str, schema: str, **others: Json) -> Json:
    return get(name, what, "application/json", ref(schema), **others)


def of_model(path: Json, suffix: str, *parts: Json) -> Json:
    """The same path for a model whose version is named, or not."""
    return {
        method: {**operation, "operationId": operation["operationId"] + suffix, "parameters": [*parts, *others]}
        for method, operation in path.items()
        for others in [operation.get("parameters", [])]
    }


METADATA = health("v2_model", "The model's inputs and outputs", "ProtocolModel", **UNKNOWN, **not_ready(KIND))
READY = health("v2_model_ready", "The model is ready", "ProtocolModelReady", **UNKNOWN, **not_ready(KIND))
INFER: Json = {
    "post": {
        "operationId": "v2_infer",
        "summary": "Answer images as tensors",
        "description": f"One input, image, of 1 to {MAX_IMAGES} images. UINT8 [N, height, width, 3] is RGB: of the "
        "size of the model's canvas they are computed together with what other callers send, else resized in the "
        f"graph, one by one, up to {MAX_SIDE} a side. BYTES [N] are encoded images, decoded as in /v1/classify; in "
        "JSON each is base64. Numbers in JSON may be flat, or nested as the shape. An output that is asked for with "
        "the parameter classification has so many of its best classes, as value:index:label. Parameters that are not "
        "known are passed over.",
        "parameters": [
            {
                "name": LENGTH,
                "in": "header",
                "description": "How many bytes of the body are JSON; the input's bytes follow, as its parameter "
                "binary_data_size says",
                "schema": {"type": "integer", "minimum": 0},
            }
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {MAX_BODY:,} bytes",
            "content": {
                **content("application/json", ref("Infer")),
                **content("application/octet-stream", JSON_AND_BYTES),
            },
        },
        "responses": {
            "200": {
                "description": "The outputs that were asked for, else all; those with binary_data, or all with "
                f"binary_data_output, as bytes behind the JSON, whose length {LENGTH} then tells",
                "content": {
                    **content("application/json", ref("Inferred")),
                    **content("application/octet-stream", JSON_AND_BYTES),
                },
                "headers": {LENGTH: {"description": "How many bytes are JSON, where others follow", "schema": WHOLE}},
            },
            **problems(
                KIND,
                _400="bad_json, bad_header_length: the body cannot be read; bad_http: its chunks; "
                "bad_tensor: the input's name, datatype, "
                "shape or data; bad_base64; bad_output, bad_parameter, no_shared_memory: what is asked for",
                _408="body_too_slow",
                _413="body_too_large, image_too_large (pixels, memory or parts) or too_many_images",
                _415="unsupported_format: an element of BYTES that is not an image that is read here; "
                "unsupported_media_type, unsupported_encoding: not a kind of body that is",
                _422="corrupt_image: an element of BYTES is damaged",
            ),
            **UNKNOWN,
            **overloaded(KIND),
        },
    }
}

MODEL = "/v2/models/{name}"
OF_VERSION = MODEL + "/versions/{version}"

TENSORS: Json = {
    "/v2": health("v2", "The server, and what it knows of the protocol", "ProtocolServer"),
    "/v2/health/live": health("v2_live", "The process answers", "Live"),
    "/v2/health/ready": health("v2_ready", "The model is ready", "ProtocolReady", **not_ready(KIND)),
    MODEL: of_model(METADATA, "", NAME),
    f"{MODEL}/ready": of_model(READY, "", NAME),
    f"{MODEL}/infer": of_model(INFER, "", NAME),
    OF_VERSION: of_model(METADATA, "_of_version", NAME, VERSION),
    f"{OF_VERSION}/ready": of_model(READY, "_of_version", NAME, VERSION),
    f"{OF_VERSION}/infer": of_model(INFER, "_of_version", NAME, VERSION),
}
