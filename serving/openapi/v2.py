"""The routes below /v2: the Open Inference Protocol."""

from vitrail.serving.contract import MAX_SIDE
from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.openapi.parts import FILE, content, get, not_ready, overloaded, problems
from vitrail.serving.openapi.schemas import TEXT, WHOLE, Json, ref
from vitrail.serving.settings import MAX_IMAGES

KIND = "ProtocolProblem"
UNKNOWN = problems(KIND, _404="unknown_model or unknown_version: the server has one model, in one version, 1")
JSON_AND_BYTES: Json = {**FILE, "description": "the same JSON without data, followed by the bytes of each tensor"}
LENGTH = "Inference-Header-Content-Length"


def path_parameter(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": TEXT}


NAME = path_parameter("name", "The model's name, as in /v1/model")
VERSION = path_parameter("version", "The model's version: 1")


def health(name: str, summary: str, schema: str, **others: Json) -> Json:
    return get(name, summary, "application/json", ref(schema), **others)


def of_model(path: Json, suffix: str, *parameters: Json) -> Json:
    """The path with or without the model's version."""
    return {
        method: {**operation, "operationId": operation["operationId"] + suffix, "parameters": [*parameters, *others]}
        for method, operation in path.items()
        for others in [operation.get("parameters", [])]
    }


METADATA = health("v2_model", "The model's inputs and outputs", "ProtocolModel", **UNKNOWN, **not_ready(KIND))
READY = health("v2_model_ready", "The model is ready", "ProtocolModelReady", **UNKNOWN, **not_ready(KIND))
INFER: Json = {
    "post": {
        "operationId": "v2_infer",
        "summary": "Run the model on tensors",
        "description": f"One input, image, of 1 to {MAX_IMAGES} images. UINT8 [N, height, width, 3] is RGB: canvases, "
        "whose size is the card's input size, join the batches of other requests; other sizes are resized in the "
        f"graph, one by one, up to {MAX_SIDE} a side. BYTES [N] are encoded images, decoded as in /v1/classify; in "
        "JSON each is base64. Numbers in JSON may be flat, or nested as the shape. An output with the "
        "parameter classification has that many of its top classes, as value:index:label. Unknown parameters are "
        "ignored. A model of sets of vectors has the one input vectors instead, FP32 [N, T, width].",
        "parameters": [
            {
                "name": LENGTH,
                "in": "header",
                "description": "Length of the JSON in bytes; the input's bytes follow, as many as its parameter "
                "binary_data_size",
                "schema": {"type": "integer", "minimum": 0},
            }
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {MAX_BODY:,} bytes",
            "content": {
                **content("application/json", ref("InferenceRequest")),
                **content("application/octet-stream", JSON_AND_BYTES),
            },
        },
        "responses": {
            "200": {
                "description": "The requested outputs, by default all; those with binary_data, or all with "
                f"binary_data_output, as bytes after the JSON, whose length is then in {LENGTH}",
                "content": {
                    **content("application/json", ref("InferenceResponse")),
                    **content("application/octet-stream", JSON_AND_BYTES),
                },
                "headers": {LENGTH: {"description": "Length of the JSON, where bytes follow", "schema": WHOLE}},
            },
            **problems(
                KIND,
                _400="bad_json, bad_header_length: the body cannot be read; bad_http: its chunks; "
                "bad_tensor: the input's name, datatype, "
                "shape or data; bad_base64; bad_output, bad_parameter, no_shared_memory: what is requested",
                _408="body_too_slow",
                _413="body_too_large, image_too_large (pixels, memory or parts) or too_many_images",
                _415="unsupported_format: an element of BYTES is not in a supported image format; "
                "unsupported_media_type, unsupported_encoding: not a supported body",
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
    "/v2": health("v2", "The server and its protocol extensions", "ProtocolServer"),
    "/v2/health/live": health("v2_live", "The process is alive", "Live"),
    "/v2/health/ready": health("v2_ready", "The model is ready", "ProtocolReady", **not_ready(KIND)),
    MODEL: of_model(METADATA, "", NAME),
    f"{MODEL}/ready": of_model(READY, "", NAME),
    f"{MODEL}/infer": of_model(INFER, "", NAME),
    OF_VERSION: of_model(METADATA, "_of_version", NAME, VERSION),
    f"{OF_VERSION}/ready": of_model(READY, "_of_version", NAME, VERSION),
    f"{OF_VERSION}/infer": of_model(INFER, "_of_version", NAME, VERSION),
}
