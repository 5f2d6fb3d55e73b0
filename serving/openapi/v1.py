"""The routes below /v1 that take images."""

from vitrail.serving.http.body import MAX_BODY
from vitrail.serving.http.request_images import FIELD, MAX_IMAGES
from vitrail.serving.openapi.parts import FILE, content, good, overloaded, problems, query
from vitrail.serving.openapi.schemas import BASE64, Json, record, ref

IMAGE = "JPEG, PNG, WebP, GIF (first frame) or BMP, told by its bytes. "
EACH = "One image: its answer or its error. Several: 200 with one entry for each, in order; a bad one has its error. "


def images(most: int) -> Json:
    """A body with images, in each of the forms that are read."""

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


def post(name: str, summary: str, description: str, parameters: list[Json], most: int, answers: Json) -> Json:
    """A path that takes images; what every such path may refuse stands here, once."""
    refusals = problems(
        _400="bad_multipart, bad_json or bad_base64: the body cannot be read; bad_http: its chunks",
        _408="body_too_slow",
        _413="body_too_large, image_too_large (pixels, memory or parts) or too_many_images",
        _415="unsupported_format: not an image that is read here; unsupported_media_type, unsupported_encoding: "
        "not a kind of body that is",
        _422="corrupt_image: damaged; missing_image, unknown_field, not_a_file: not the form that is asked for; "
        "no_good_image: several, and all of them bad",
    )
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": parameters,
        "requestBody": images(most),
        "responses": {**refusals, **overloaded(), **answers},
    }


CLASSIFY = post(
    "classify",
    "Label one image, or several",
    f"{IMAGE}{EACH}What is answered depends on the task that stands in the model's card: labels (one of which a "
    "image has, or several at once), values, or a label for each place, row by row. Images of many callers are "
    "computed together, and answered as if each were alone; more than may wait are refused at once.",
    [
        query(
            "top_k",
            "How many labels an image, at most the number of classes; 5, or all if there are fewer, or if an image "
            "may have several; refused where the model does not answer with labels of the image",
            {"type": "integer", "minimum": 1},
        ),
        query(
            "abstain",
            "Say also whether the answer is too unsure, by the model's own threshold, to be any class; refused where a "
            "image has not one label",
            {"type": "boolean", "default": False},
        ),
    ],
    MAX_IMAGES,
    {
        "200": good("The answer to each image; labels with the most probable first", "application/json", ref("Answer")),
        **problems(
            _400="bad_top_k or bad_abstain; bad_multipart, bad_json or bad_base64: the body cannot be read; "
            "bad_http: its chunks cannot"
        ),
    },
)

EMBED = post(
    "embed",
    "Turn one image, or several, into vectors",
    f"{IMAGE}{EACH}The vector is what the model's last layer reads: images that look alike to it lie close.",
    [],
    MAX_IMAGES,
    {"200": good("The vector of each image", "application/json", ref("Embeddings"))},
)

EXPLAIN = post(
    "explain",
    "Tell where in one image the evidence for a label lies",
    f"{IMAGE}The evidence is a grid of numbers over the square that the model sees: above zero speaks for the label, "
    "below against it. Where kind is exact, its mean is the label's logit; where approximate, a number is how far the "
    "logit falls when that cell is hidden.",
    [
        query("label", "The label to explain; else the most probable one", {"type": "string"}),
        query("overlay", "Draw the evidence over the image, too", {"type": "string", "enum": ["png"]}),
    ],
    1,
    {
        "200": good("The evidence, row by row", "application/json", ref("Explanation")),
        **problems(
            _400="unknown_label, bad_overlay; one_image: several were sent; bad_multipart, bad_json or bad_base64: "
            "the body cannot be read; bad_http: its chunks",
            _404="no_explain_graph: the server has no explain file for its model; the detail says why",
        ),
    },
)
