"""The written contract of the routes: OpenAPI 3.1 for everybody, and BentoML's form for its own client."""

from typing import Any

from vitrail import __version__
from vitrail.serving.body import MAX_BODY
from vitrail.serving.pictures_in import FIELD, MAX_PICTURES
from vitrail.serving.problems import MEDIA_TYPE
from vitrail.serving.schemas import SCHEMAS

Json = dict[str, Any]

FILE: Json = {"type": "string", "contentMediaType": "application/octet-stream"}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


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

CLASSIFY: Json = {
    "operationId": "classify",
    "summary": "Label one picture, or several",
    "description": "JPEG, PNG, WebP, GIF (first frame) or BMP, told by its bytes. One picture: its labels or its "
    "error. Several: 200 with one entry for each, in order, where a bad picture has its error. Pictures of many "
    "callers are computed together, and answered as if each were alone; more than may wait are refused at once.",
    "parameters": [
        {
            "name": "top_k",
            "in": "query",
            "description": "How many labels a picture, at most the number of classes; 5, or all if there are fewer",
            "schema": {"type": "integer", "minimum": 1},
        },
        {
            "name": "abstain",
            "in": "query",
            "description": "Say also whether the answer is too unsure, by the model's own threshold, to be any class",
            "schema": {"type": "boolean", "default": False},
        },
    ],
    "requestBody": {
        "required": True,
        "description": f"At most {MAX_BODY:,} bytes",
        "content": {
            **content(
                "multipart/form-data",
                {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {FIELD: {"type": "array", "items": FILE, "minItems": 1, "maxItems": MAX_PICTURES}},
                },
            ),
            **content("image/*", FILE),
            **content("application/octet-stream", FILE),
        },
    },
    "responses": {
        "200": good("A prediction for each picture", "application/json", ref("Answer")),
        **problems(
            _400="top_k, abstain or the multipart body cannot be read",
            _408="The body came too slowly",
            _413="Too many bytes, pixels or pictures",
            _415="Not a picture format that is read here, or not a kind of body that is",
            _422="A damaged picture, a field that is missing or unknown, or several pictures and none of them good",
        ),
        **OVERLOADED,
    },
}

DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {"title": "vitrail", "version": __version__, "description": "Labels pictures with one vitrail model."},
    "paths": {
        "/v1/classify": {"post": CLASSIFY},
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
        "/docs.json": get("docs", "This document", "application/json", {"type": "object"}),
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
