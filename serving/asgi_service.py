"""A BentoML service whose worker runs our own Starlette application; BentoML starts and stops the process."""

from bentoml import Service
from starlette.applications import Starlette
from starlette.types import ASGIApp

from vitrail.serving.app import build_app
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.middleware import TelemetryMiddleware
from vitrail.serving.http.protocol import use_http_protocol
from vitrail.serving.log_writer import log_without_blocking


class ASGIService(Service):  # type: ignore[misc]  # BentoML ships this class without types
    """A service whose requests bypass BentoML's application and its middleware.

    BentoML's middleware runs before any mounted route: it would read a body, fetch the URL of an image or occupy a
    concurrency slot before our limits apply. BentoML's worker calls `to_asgi` once for the application to run; this
    returns ours. Its lifespan encloses that of BentoML's application, which creates the service's instance and runs
    its hooks.
    """

    __slots__ = ()  # as in BentoML's class

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        log_without_blocking()
        use_http_protocol()
        bento: Starlette = super().to_asgi(is_main)
        gate = Gate()
        app = build_app(lambda: bento.router.lifespan_context(bento), self.url or "", gate)
        return TelemetryMiddleware(app, gate)
