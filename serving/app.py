"""The routes, wired together: the one list of what this server answers."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from vitrail.errors import UsageError
from vitrail.serving import settings
from vitrail.serving.engine.engine import Engine
from vitrail.serving.http.body import BodyTooLarge, on_body_too_large
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.hosts import HostGuard, hosts_at
from vitrail.serving.http.problems import HANDLERS
from vitrail.serving.http.protocol import limit_connections
from vitrail.serving.log_writer import STDOUT
from vitrail.serving.routes import about
from vitrail.serving.routes.classify import classify
from vitrail.serving.routes.embed import embed
from vitrail.serving.routes.explain import explain
from vitrail.serving.routes.v2 import routes as v2
from vitrail.serving.settings import Settings

SWITCH = 0.0005  # seconds that a thread runs Python while the event loop waits; 5 ms, Python's own, add up in an answer

ROUTES = [
    Route("/v1/classify", classify, methods=["POST"]),
    Route("/v1/embed", embed, methods=["POST"]),
    Route("/v1/explain", explain, methods=["POST"]),
    Route("/v1/model", about.model),
    *v2.ROUTES,
    Route("/livez", about.livez),
    Route("/readyz", about.readyz),
    Route("/metrics", about.numbers),
    Route("/docs.json", about.docs),
    Route("/schema.json", about.client_schema),
    *(Route(path, about.page) for path in about.PAGE_FILES),
]


def build_app(inner_life: Callable[[], AbstractAsyncContextManager[object]], address: str, door: Gate) -> Starlette:
    """The application; `inner_life` is BentoML's start and end, which enclose the model's."""
    limits = settings_or_defaults()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine = app.state.engine = Engine(door)
        limit_connections(limits.connections)
        sys.setswitchinterval(SWITCH)
        async with inner_life():
            loading = asyncio.create_task(engine.load(address))
            following = asyncio.create_task(end_with(os.getppid()))
            with door.shut_by(signal.SIGTERM):
                yield
            following.cancel()
            await loading
            await engine.close()
        STDOUT.drain()  # uvicorn ends the process by a signal, so nothing that waits for its end is called

    # The parser warns of each malformed body; a caller's mistake goes to the caller, not into our log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    app = Starlette(
        routes=ROUTES,
        middleware=guards(address, limits),
        exception_handlers={**HANDLERS, BodyTooLarge: on_body_too_large},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # another path is another path: 404
    return app


def settings_or_defaults() -> Settings:
    """What the environment sets; where that cannot be, the defaults, while the engine reports why it is not ready."""
    try:
        return settings.read()
    except UsageError:
        return Settings()


def guards(address: str, limits: Settings) -> list[Middleware]:
    """Which requests reach the routes: outermost the names to answer to, then CORS for the sites that may call."""
    origins = limits.allow_origin
    guard = Middleware(HostGuard, hosts=hosts_at(address, limits.allow_host), origins=origins)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "retry-after"],
    )
    return [guard, cors] if origins else [guard]


async def end_with(parent: int) -> None:
    """Stop when BentoML's arbiter is gone: killed, it could not stop us, and the port would stay taken."""
    while os.getppid() == parent:
        await asyncio.sleep(1)
    signal.raise_signal(signal.SIGTERM)
