"""The routes below /v1 that take images."""

from vitrail.serving.contract import FIELD
from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.openapi.parts import FILE, content, overloaded, problems, query, response
from vitrail.serving.openapi.schemas import BASE64, Json, record, ref
from vitrail.serving.settings import MAX_IMAGES

IMAGE = "JPEG, PNG, WebP, GIF (first frame) or BMP, recognised by its bytes. "
EACH = (
    "One image: its prediction or its error. Several: 200 with one entry for each, in order; a bad one has its error. "
)


def images(most: int) -> Json:
    """A request body with images, in each accepted media type."""

    def at_most(items: Json) -> Json:
        return {"type": "array", "items": items, "minItems": 1, "maxItems": most}

    return {
        "required": True,
        "description": f"At most {MAX_BODY:,} bytes",
        "content": {
            **content("multipart/form-data", record({FIELD: at_most(FILE)})),
            **content("application/json", record({"images": at_most(record({"b64": BASE64}))})),
            **content("image/*", FILE),
            **content("application/octet-stream", FILE),
        },
    }


def post(name: str, summary: str, description: str, parameters: list[Json], most: int, responses: Json) -> Json:
    """A path that takes images, with the errors that all such paths have."""
    errors = problems(
        _400="bad_multipart, bad_json or bad_base64: the body cannot be read; bad_http: its chunks",
        _408="body_too_slow",
        _413="body_too_large, image_too_large (pixels, memory or parts) or too_many_images",
        _415="unsupported_format: not a supported image format; no_images: the model takes vectors; "
        "unsupported_media_type, unsupported_encoding: not a supported body",
        _422="corrupt_image: damaged; missing_image, unknown_field, not_a_file: not the expected form; "
        "no_good_image: several images, all bad",
    )
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": parameters,
        "requestBody": images(most),
        "responses": {**errors, **overloaded(), **responses},
    }


CLASSIFY = post(
    "classify",
    "Label one image, or several",
    f"{IMAGE}{EACH}The prediction depends on the task in the model's card: labels (an image has one, or "
    "several at once), values, labels or values of the cells of a grid, row by row, a sequence of labels, or boxes. "
    "Images of several requests are computed in batches, which does not change their predictions; where too many wait, "
    "requests are refused at once.",
    [
        query(
            "top_k",
            "Labels per image, at most the number of classes; default 5, or all if there are fewer or an image "
            "may have several; 400 if the model's task has no labels of the image",
            {"type": "integer", "minimum": 1},
        ),
        query(
            "abstain",
            "Add none_of_these: whether the prediction is too uncertain, by the model's threshold, to be any class; "
            "400 if the task is not one label an image",
            {"type": "boolean", "default": False},
        ),
    ],
    MAX_IMAGES,
    {
        "200": response(
            "The prediction for each image; labels with the most probable first", "application/json", ref("Predictions")
        ),
        **problems(
            _400="bad_top_k or bad_abstain; bad_multipart, bad_json or bad_base64: the body cannot be read; "
            "bad_http: its chunks cannot"
        ),
    },
)

EMBED = post(
    "embed",
    "Turn one image, or several, into vectors",
    f"{IMAGE}{EACH}The vector is the input of the model's last layer: similar images have similar vectors.",
    [],
    MAX_IMAGES,
    {"200": response("The vector of each image", "application/json", ref("Embeddings"))},
)

EXPLAIN = post(
    "explain",
    "Compute the evidence for a label in one image",
    f"{IMAGE}The evidence is a grid of numbers over the model's square input: positive numbers are evidence for the "
    "label, negative ones against it. Where kind is exact, its mean is the label's logit; where approximate, a number "
    "is how far the logit falls when that cell is hidden.",
    [
        query("label", "The label to explain; default the most probable one", {"type": "string"}),
        query("overlay", "Add a drawing of the evidence over the image", {"type": "string", "enum": ["png"]}),
    ],
    1,
    {
        "200": response("The evidence, row by row", "application/json", ref("Explanation")),
        **problems(
            _400="unknown_label, bad_overlay; one_image: several were sent; bad_multipart, bad_json or bad_base64: "
            "the body cannot be read; bad_http: its chunks",
            _404="no_explain_graph: the server has no explain file for its model; the detail gives the reason",
        ),
    },
)
