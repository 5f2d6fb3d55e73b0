"""The routes, wired together: the one list of what this server answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from vitrail.serving import about
from vitrail.serving.body import BodyTooLarge, on_body_too_large
from vitrail.serving.classify import classify
from vitrail.serving.engine import Engine
from vitrail.serving.problems import HANDLERS

ROUTES = [
    Route("/v1/classify", classify, methods=["POST"]),
    Route("/v1/model", about.model),
    Route("/livez", about.livez),
    Route("/readyz", about.readyz),
    Route("/metrics", about.numbers),
    Route("/docs.json", about.docs),
    Route("/schema.json", about.client_schema),
    *(Route(path, about.page) for path in about.PAGE_FILES),
]


def build_app(inner_life: Callable[[], AbstractAsyncContextManager[object]], address: str) -> Starlette:
    """The application; `inner_life` is BentoML's start and end, which enclose the model's."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine = app.state.engine = Engine()
        async with inner_life():
            loading = asyncio.create_task(engine.load(address))
            yield
            await loading
            engine.close()

    app = Starlette(routes=ROUTES, exception_handlers={**HANDLERS, BodyTooLarge: on_body_too_large}, lifespan=lifespan)
    app.router.redirect_slashes = False  # another path is another path: 404
    return app
