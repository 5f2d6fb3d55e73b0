"""Our routes standing outermost: BentoML starts and stops the process, and answers nothing."""

from bentoml import Service
from starlette.applications import Starlette
from starlette.types import ASGIApp

from vitrail.serving.app import build_app
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.middleware import Watch
from vitrail.serving.http.protocol import speak_patiently
from vitrail.serving.log_writer import log_without_waiting


class Fronted(Service):  # type: ignore[misc]  # BentoML ships this class without types
    """A service whose requests never reach BentoML's own stack.

    BentoML's middlewares come before any route that is mounted in it: a body would be read, an image's
    URL fetched or a slot taken before our limits are asked. `to_asgi` is what its worker calls, once, for
    the application to serve; there we put ours. BentoML's application still lives inside ours, for its
    start and its end: it makes the service's instance and runs its hooks.
    """

    __slots__ = ()  # BentoML's class is slotted, and its subclasses must stay so

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        log_without_waiting()
        speak_patiently()
        bento: Starlette = super().to_asgi(is_main)
        door = Gate()
        return Watch(build_app(lambda: bento.router.lifespan_context(bento), self.url or "", door), door)
