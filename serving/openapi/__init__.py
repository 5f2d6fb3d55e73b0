"""The written contract of the routes, complete: OpenAPI 3.1."""

from vitrail import __version__
from vitrail.serving.http.hosts import PROBES
from vitrail.serving.openapi.parts import get, good, not_ready, problems
from vitrail.serving.openapi.schemas import SCHEMAS, Json, ref
from vitrail.serving.openapi.v1 import CLASSIFY, EMBED, EXPLAIN
from vitrail.serving.openapi.v2 import TENSORS

PATHS: Json = {
    "/v1/classify": {"post": CLASSIFY},
    "/v1/embed": {"post": EMBED},
    "/v1/explain": {"post": EXPLAIN},
    "/v1/model": get("model", "The model's card, file and provider", "application/json", ref("Model"), **not_ready()),
    **TENSORS,
    "/livez": get("livez", "The process answers", "application/json", ref("Live")),
    "/readyz": get(
        "readyz",
        "The model is loaded and answers its golden images rightly, and the server is not stopping",
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
}


def guarded(path: str, item: Json) -> Json:
    """The same path with the answers that do not come from its route; probes are answered to everybody."""
    if path in PROBES:
        return item
    kind = "ProtocolProblem" if f"{path}/".startswith("/v2/") else "Problem"
    refusals = problems(
        kind,
        _403="cross_site: a browser sends this for a page of a site that is not allowed to",
        _421="unknown_host: the server does not answer to the name in Host",
    )
    of_body = problems(kind, _431="framing_too_large: chunk sizes, chunk extensions and trailers outweigh the body")
    return {
        method: {
            **operation,
            "responses": {**operation["responses"], **refusals, **(of_body if method == "post" else {})},
        }
        for method, operation in item.items()
    }


DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "vitrail",
        "version": __version__,
        "description": "Labels images with one vitrail model. Every error is application/problem+json, whose member "
        "code is what a program reads; another path is 404 not_found, another method 405 method_not_allowed. What is "
        "no HTTP/1.1 is 400 bad_http, 408 head_too_slow, 431 head_too_large or 501 unsupported_transfer_coding.",
    },
    "paths": {path: guarded(path, item) for path, item in PATHS.items()},
    "components": {"schemas": SCHEMAS},
}
