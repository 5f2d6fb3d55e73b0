"""The OpenAPI 3.1 document of all routes."""

from vitrail import __version__
from vitrail.serving.http.hosts import PROBES
from vitrail.serving.openapi.parts import get, not_ready, problems, response
from vitrail.serving.openapi.schemas import SCHEMAS, Json, ref
from vitrail.serving.openapi.v1 import CLASSIFY, EMBED, EXPLAIN
from vitrail.serving.openapi.v2 import TENSORS

PATHS: Json = {
    "/v1/classify": {"post": CLASSIFY},
    "/v1/embed": {"post": EMBED},
    "/v1/explain": {"post": EXPLAIN},
    "/v1/model": get("model", "The model's card, file and provider", "application/json", ref("Model"), **not_ready()),
    **TENSORS,
    "/livez": get("livez", "The process is alive", "application/json", ref("Live")),
    "/readyz": get(
        "readyz",
        "The model is loaded and has passed its golden check, and the server is not stopping",
        "application/json",
        ref("Ready"),
        **{"503": response("Not ready, with the reason", "application/json", ref("Ready"))},
    ),
    "/metrics": get("metrics", "Counters for Prometheus", "text/plain", {"type": "string"}),
    "/docs": get("docs", "This document as a web page", "text/html", {"type": "string"}),
    "/docs.css": get("docs_style", "Its style", "text/css", {"type": "string"}),
    "/docs.js": get("docs_script", "Its script", "text/javascript", {"type": "string"}),
    "/docs.json": get("document", "This document", "application/json", {"type": "object"}),
    "/schema.json": get("schema", "The schema for BentoML's client", "application/json", {"type": "object"}),
    "/": get("page", "A web page to try the model", "text/html", {"type": "string"}),
    "/page.css": get("page_style", "The page's style", "text/css", {"type": "string"}),
    "/page.js": get("page_script", "The page's script", "text/javascript", {"type": "string"}),
}


def with_common_errors(path: str, item: Json) -> Json:
    """The path with the responses that do not come from its route; probes are not guarded."""
    if path in PROBES:
        return item
    kind = "ProtocolProblem" if f"{path}/".startswith("/v2/") else "Problem"
    guard_errors = problems(
        kind,
        _403="cross_site: sent by a browser for a page of another site that is not allowed",
        _421="unknown_host: the name in Host is not allowed",
    )
    body_errors = problems(kind, _431="framing_too_large: chunk sizes, extensions and trailers outweigh the body")
    return {
        method: {
            **operation,
            "responses": {**operation["responses"], **guard_errors, **(body_errors if method == "post" else {})},
        }
        for method, operation in item.items()
    }


DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "vitrail",
        "version": __version__,
        "description": "Classifies images with one vitrail model. Every error is application/problem+json, with a code "
        "for programs. An unknown path is 404 not_found, another method 405 method_not_allowed. A request that is not "
        "valid HTTP/1.1 is 400 bad_http, 408 head_too_slow, 431 head_too_large or 501 unsupported_transfer_coding.",
    },
    "paths": {path: with_common_errors(path, item) for path, item in PATHS.items()},
    "components": {"schemas": SCHEMAS},
}
