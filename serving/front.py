"""A BentoML service that serves our application: BentoML starts and stops the process, and handles no request."""

from bentoml import Service
from starlette.applications import Starlette
from starlette.types import ASGIApp

from vitrail.serving.app import build_app
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.middleware import TelemetryMiddleware
from vitrail.serving.http.protocol import use_http_protocol
from vitrail.serving.log_writer import log_without_blocking


class FrontedService(Service):  # type: ignore[misc]  # BentoML ships this class without types
    """A service whose requests bypass BentoML's own application.

    BentoML's middleware runs before any mounted route: it would read a body, fetch the URL of an image or take a slot
    before our limits apply. Its worker calls `to_asgi` once for the application to serve; this returns ours. The
    lifespan of BentoML's application runs inside ours: it creates the service's instance and runs its hooks.
    """

    __slots__ = ()  # BentoML's class has slots, and so must its subclasses

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        log_without_blocking()
        use_http_protocol()
        bento: Starlette = super().to_asgi(is_main)
        gate = Gate()
        return TelemetryMiddleware(build_app(lambda: bento.router.lifespan_context(bento), self.url or "", gate), gate)
