"""The written contract of the routes: OpenAPI 3.1 for everybody, and BentoML's form for its own client."""

from typing import Any

from vitrail import __version__
from vitrail.serving.body import MAX_BODY
from vitrail.serving.pictures_in import FIELD, MAX_PICTURES
from vitrail.serving.problems import MEDIA_TYPE
from vitrail.serving.schemas import BASE64, SCHEMAS, record, ref

Json = dict[str, Any]

FILE: Json = {"type": "string", "contentMediaType": "application/octet-stream"}


def content(media_type: str, schema: Json) -> Json:
    return {media_type: {"schema": schema}}


def good(what: str, media_type: str, schema: Json) -> Json:
    return {"description": what, "content": content(media_type, schema)}


def problems(**meanings: str) -> Json:
    """Answers that are problems: `_404="…"` → the status and when it comes."""
    return {status.removeprefix("_"): good(why, MEDIA_TYPE, ref("Problem")) for status, why in meanings.items()}


def get(name: str, what: str, media_type: str, schema: Json, **others: Any) -> Json:
    """A path that is only read."""
    return {
        "get": {"operationId": name, "summary": what, "responses": {"200": good(what, media_type, schema), **others}}
    }


RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds after which to try again", "schema": {"type": "integer", "minimum": 0}}
}


def retried(answers: Json) -> Json:
    """The same answers, which also say when to try again."""
    return {status: {**answer, "headers": RETRY_AFTER} for status, answer in answers.items()}


NOT_READY = retried(problems(_503="The model is still loading, could not be loaded, or the server is stopping"))
OVERLOADED = {
    **retried(
        problems(_503="Too many pictures are waiting already, the model is not ready, or the server is stopping")
    ),
    **problems(_504="No answer within the server's deadline, which VITRAIL_DEADLINE sets"),
}

PICTURE = "JPEG, PNG, WebP, GIF (first frame) or BMP, told by its bytes. "
EACH = "One picture: its answer or its error. Several: 200 with one entry for each, in order; a bad one has its error. "


def query(name: str, what: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": what, "schema": schema}


def pictures(most: int) -> Json:
    """A body with pictures, in each of the forms that are read."""

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
    """A path that takes pictures; what every such path may refuse stands here, once."""
    refusals = problems(
        _400="bad_multipart, bad_json or bad_base64: the body cannot be read",
        _408="body_too_slow",
        _413="body_too_large, picture_too_large (in pixels) or too_many_pictures",
        _415="unsupported_format: not a picture that is read here; unsupported_media_type, unsupported_encoding: "
        "not a kind of body that is",
        _422="corrupt_picture: damaged; missing_image, unknown_field, not_a_file: not the form that is asked for; "
        "no_good_picture: several, and all of them bad",
    )
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": parameters,
        "requestBody": pictures(most),
        "responses": {**refusals, **OVERLOADED, **answers},
    }


CLASSIFY = post(
    "classify",
    "Label one picture, or several",
    f"{PICTURE}{EACH}Pictures of many callers are computed together, and answered as if each were alone; more than "
    "may wait are refused at once.",
    [
        query(
            "top_k",
            "How many labels a picture, at most the number of classes; 5, or all if there are fewer",
            {"type": "integer", "minimum": 1},
        ),
        query(
            "abstain",
            "Say also whether the answer is too unsure, by the model's own threshold, to be any class",
            {"type": "boolean", "default": False},
        ),
    ],
    MAX_PICTURES,
    {
        "200": good("The labels of each picture, the most probable first", "application/json", ref("Answer")),
        **problems(_400="bad_top_k or bad_abstain; bad_multipart, bad_json or bad_base64: the body cannot be read"),
    },
)

EMBED = post(
    "embed",
    "Turn one picture, or several, into vectors",
    f"{PICTURE}{EACH}The vector is what the model's last layer reads: pictures that look alike to it lie close.",
    [],
    MAX_PICTURES,
    {"200": good("The vector of each picture", "application/json", ref("Embeddings"))},
)

EXPLAIN = post(
    "explain",
    "Tell where in one picture the evidence for a label lies",
    f"{PICTURE}The evidence is a grid of numbers over the square that the model sees: above zero speaks for the label, "
    "below against it. Where kind is exact, its mean is the label's logit; where approximate, a number is how far the "
    "logit falls when that cell is hidden.",
    [
        query("label", "The label to explain; else the most probable one", {"type": "string"}),
        query("overlay", "Draw the evidence over the picture, too", {"type": "string", "enum": ["png"]}),
    ],
    1,
    {
        "200": good("The evidence, row by row", "application/json", ref("Explanation")),
        **problems(
            _400="unknown_label, bad_overlay; one_picture: several were sent; bad_multipart, bad_json or bad_base64: "
            "the body cannot be read",
            _404="no_explain_graph: the server has no explain file for its model; the detail says why",
        ),
    },
)

DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "vitrail",
        "version": __version__,
        "description": "Labels pictures with one vitrail model. Every error is application/problem+json, whose member "
        "code is what a program reads; another path is 404 not_found, another method 405 method_not_allowed.",
    },
    "paths": {
        "/v1/classify": {"post": CLASSIFY},
        "/v1/embed": {"post": EMBED},
        "/v1/explain": {"post": EXPLAIN},
        "/v1/model": get("model", "The model's card, file and provider", "application/json", ref("Model"), **NOT_READY),
        "/livez": get("livez", "The process answers", "application/json", ref("Live")),
        "/readyz": get(
            "readyz",
            "The model is loaded and answers its golden pictures rightly, and the server is not stopping",
            "application/json",
            ref("Ready"),
            **{"503": good("Not ready, with the reason", "application/json", ref("Ready"))},
        ),
        "/metrics": get("metrics", "Counters for Prometheus", "text/plain", {"type": "string"}),
        "/docs": get("docs", "This document, for people", "text/html", {"type": "string"}),
        "/docs.css": get("docs_style", "Its style", "text/css", {"type": "string"}),
        "/docs.js": get("docs_script", "Its script", "text/javascript", {"type": "string"}),
        "/docs.json": get("document", "This document", "application/json", {"type": "object"}),
        "/schema.json": get("schema", "What BentoML's client reads", "application/json", {"type": "object"}),
        "/": get("page", "A page to try the model", "text/html", {"type": "string"}),
        "/page.css": get("page_style", "The page's style", "text/css", {"type": "string"}),
        "/page.js": get("page_script", "The page's script", "text/javascript", {"type": "string"}),
    },
    "components": {"schemas": SCHEMAS},
}

# What `bentoml.SyncHTTPClient` builds its methods from: client.classify(image=[Path("photo.jpg")]).
CLIENT_SCHEMA: Json = {
    "name": "vitrail",
    "type": "service",
    "routes": [
        {
            "name": "classify",
            "route": "/v1/classify",
            "doc": CLASSIFY["summary"],
            "input": {
                "type": "object",
                "properties": {FIELD: {"type": "array", "items": {"type": "file"}}},
                "required": [FIELD],
            },
            "output": {"type": "object"},
        }
    ],
}
