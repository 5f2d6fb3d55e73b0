"""Routes that describe the server: model, health, metrics, OpenAPI document, web page."""

from dataclasses import asdict
from importlib.resources import files

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vitrail.serving.engine.engine import Engine
from vitrail.serving.http.middleware import metrics
from vitrail.serving.openapi import DOCUMENT
from vitrail.serving.openapi.bento import CLIENT_SCHEMA
from vitrail.serving.routes.predictions import model_identity

# The pages load nothing from other sites, and injected content could not either.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
DOCS = bytes(JSONResponse(DOCUMENT).body)  # constant and long: serialised once
PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/docs": ("docs.html", "text/html"),
    "/docs.css": ("docs.css", "text/css"),
    "/docs.js": ("docs.js", "text/javascript"),
}


async def model(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    loaded = engine.ready()
    evidence = engine.explanations and asdict(engine.explanations.evidence)
    details = {"provider": loaded.provider, "card": asdict(loaded.card), "explanations": evidence}
    return JSONResponse({**model_identity(loaded), **details})


async def livez(request: Request) -> Response:
    return JSONResponse({"live": True})


async def readyz(request: Request) -> Response:
    """Ready once the model has passed its golden check; `reason` says why not, or why no GPU is in use."""
    engine: Engine = request.app.state.engine
    loaded, reason = engine.model, engine.not_ready_reason
    ready = reason is None
    state = {
        "ready": ready,
        "provider": loaded.provider if loaded else None,
        "reason": engine.reason if ready else reason,
    }
    return JSONResponse(state, 200 if ready else 503)


async def prometheus(request: Request) -> Response:
    return Response(metrics(), headers={"content-type": CONTENT_TYPE_LATEST})


async def docs(request: Request) -> Response:
    return Response(DOCS, media_type="application/json")


async def client_schema(request: Request) -> Response:
    return JSONResponse(CLIENT_SCHEMA)


async def page(request: Request) -> Response:
    name, media_type = PAGE_FILES[request.url.path]
    text = (files("vitrail.serving") / "page" / name).read_text("utf-8")
    return Response(text, headers=PAGE_HEADERS, media_type=media_type)
