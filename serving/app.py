"""The application: all routes, their middleware, and the lifespan of the engine."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from math import ceil
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from vitrail.errors import UsageError
from vitrail.runtime.providers import usable_cores
from vitrail.serving import settings
from vitrail.serving.engine.engine import Engine
from vitrail.serving.engine.inference import Inference, LocalInference
from vitrail.serving.http.body import BodyTooLarge, on_body_too_large
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.hosts import HostGuard, hosts_for
from vitrail.serving.http.problems import HANDLERS
from vitrail.serving.http.protocol import limit_connections
from vitrail.serving.log_writer import STDOUT
from vitrail.serving.routes import about
from vitrail.serving.routes.classify import classify
from vitrail.serving.routes.embed import embed
from vitrail.serving.routes.explain import explain
from vitrail.serving.routes.v2 import routes as v2
from vitrail.serving.settings import Settings

if TYPE_CHECKING:
    import grpc

SWITCH_INTERVAL = 0.0005  # seconds for which a thread may hold up the event loop; Python's default is 5 ms

ROUTES = [
    Route("/v1/classify", classify, methods=["POST"]),
    Route("/v1/embed", embed, methods=["POST"]),
    Route("/v1/explain", explain, methods=["POST"]),
    Route("/v1/model", about.model),
    *v2.ROUTES,
    Route("/livez", about.livez),
    Route("/readyz", about.readyz),
    Route("/metrics", about.prometheus),
    Route("/docs.json", about.docs),
    Route("/schema.json", about.client_schema),
    *(Route(path, about.page) for path in about.PAGE_FILES),
]


def build_app(
    bento_lifespan: Callable[[], AbstractAsyncContextManager[object]],
    address: str,
    gate: Gate,
    service: tuple[str, str] = ("", ""),
    inference: Callable[[], Inference] = LocalInference,
    fronts: int = 1,
    grpc_fault: str | None = None,
) -> Starlette:
    """The application; its lifespan encloses that of BentoML's own application.

    Of several fronts each decodes with its share of the cores, and has its share of the connections.
    """
    limits = settings_or_defaults()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine = app.state.engine = Engine(gate, inference(), max(1, usable_cores() // fronts))
        limit_connections(ceil(limits.connections / fronts))
        sys.setswitchinterval(SWITCH_INTERVAL)
        async with bento_lifespan():
            loading = asyncio.create_task(engine.load(address))
            if grpc_fault is not None:
                engine.fail(grpc_fault)
            grpc_address = None if grpc_fault else limits.grpc
            grpc_server = await serve_grpc(engine, grpc_address, service, is_shared=fronts > 1)
            parent_watch = asyncio.create_task(stop_with_parent(os.getppid()))
            with gate.close_on(signal.SIGTERM) if fronts == 1 else nullcontext():  # the hub tells several
                yield
            parent_watch.cancel()
            await loading
            if grpc_server is not None:
                await grpc_server.stop(None)
            await engine.close()
        STDOUT.drain()  # uvicorn ends the process by a signal, so no atexit handler runs

    # The parser logs a warning for each malformed body; that is the client's error, which gets a 400.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    app = Starlette(
        routes=ROUTES,
        middleware=guards(address, limits),
        exception_handlers={**HANDLERS, BodyTooLarge: on_body_too_large},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a trailing slash is another path: 404
    return app


async def serve_grpc(
    engine: Engine, address: str | None, service: tuple[str, str], *, is_shared: bool
) -> "grpc.aio.Server | None":
    """gRPC beside HTTP, where it is asked for; if it cannot listen, the engine is not ready, with the reason."""
    if address is None:
        return None
    try:
        from vitrail.serving.grpc import server
    except ImportError:
        engine.fail("gRPC needs grpcio and protobuf: pip install 'vitrail[grpc]'")
        return None
    try:
        return await server.start(engine, address, service, is_shared=is_shared)
    except RuntimeError:  # gRPC's own message has its sources
        engine.fail(cannot_listen(address))
        return None


def cannot_listen(address: str) -> str:
    return f"gRPC cannot listen on {address}: another program may use the port"


def settings_or_defaults() -> Settings:
    """The environment's settings; the defaults where they are invalid, while the engine reports why it is not ready."""
    try:
        return settings.read()
    except UsageError:
        return Settings()


def guards(address: str, limits: Settings) -> list[Middleware]:
    """The middleware before the routes: the Host check, then CORS for the allowed origins."""
    origins = limits.allow_origin
    guard = Middleware(HostGuard, hosts=hosts_for(address, limits.allow_host), origins=origins)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "retry-after"],
    )
    return [guard, cors] if origins else [guard]


async def stop_with_parent(parent: int) -> None:
    """Stop when BentoML's arbiter has ended: if it was killed, it cannot stop this worker, which holds the port."""
    while os.getppid() == parent:
        await asyncio.sleep(1)
    signal.raise_signal(signal.SIGTERM)
