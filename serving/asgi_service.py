"""A BentoML service whose worker runs our own Starlette application; BentoML starts and stops the process."""

import os
import warnings
from collections.abc import Sequence

from bentoml import Service
from prometheus_client import values
from starlette.applications import Starlette
from starlette.types import ASGIApp

from vitrail.errors import UsageError
from vitrail.serving import settings
from vitrail.serving.log_writer import log_without_blocking


class ASGIService(Service):  # type: ignore[misc]  # BentoML ships this class without types
    """A service whose requests bypass BentoML's application and its middleware.

    BentoML's middleware runs before any mounted route: it would read a body, fetch the URL of an image or occupy a
    concurrency slot before our limits apply. BentoML's worker calls `to_asgi` once for the application to run; this
    returns ours, or with several processes the hub, which gives each connection to one that runs it. Its lifespan
    encloses that of BentoML's application, which creates the service's instance and runs its hooks.
    """

    __slots__ = ()  # as in BentoML's class

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        self.inject_config()
        fronts, gpus = processes_of(self.name)
        if fronts > 1 or len(gpus) > 1:
            return self.to_hub(fronts, gpus, is_main)
        set_up_process()

        # Imported once metrics stay in memory, as these modules create them.
        from vitrail.serving import bento_config, tracing
        from vitrail.serving.app import build_app
        from vitrail.serving.http.gate import Gate
        from vitrail.serving.http.middleware import TelemetryMiddleware, count_dropped_lines
        from vitrail.serving.http.protocol import use_http_protocol

        count_dropped_lines()
        use_http_protocol()
        bento: Starlette = super().to_asgi(is_main)
        bento_config.adopt_traffic(self.name)
        gate = Gate()
        identity = bento_config.identity()
        app = build_app(lambda: bento.router.lifespan_context(bento), self.url or "", gate, identity)
        whole = TelemetryMiddleware(app, gate, identity)
        traces = bento_config.exporting_traces()
        return tracing.traced(whole, *traces) if traces else whole

    def to_hub(self, fronts: int, gpus: Sequence[str], is_main: bool) -> ASGIApp:
        from vitrail.serving.processes.folder import own_folder
        from vitrail.serving.processes.program import METRICS, use_shared_metrics

        os.environ[METRICS] = str(own_folder())
        use_shared_metrics("hub")
        log_without_blocking()

        from vitrail.serving import bento_config
        from vitrail.serving.processes.hub import Hub, hub_app

        bento: Starlette = super().to_asgi(is_main)
        bento_config.adopt_traffic(self.name)
        hub = Hub(fronts, gpus, self.url or "", bento_config.context(), bento_config.tracing_section())
        return hub_app(hub, lambda: bento.router.lifespan_context(bento))


def processes_of(service: str) -> tuple[int, list[str]]:
    """How many processes answer, and the GPUs of those that compute for them; one process where a setting is invalid,
    which then says so.
    """
    from vitrail.serving.bento_config import adopt_resources

    adopt_resources(service)
    try:
        count, gpus = settings.read().processes, settings.gpus()
    except UsageError:
        return 1, []
    if count != "auto":
        return count, gpus
    from vitrail.serving.processes.measure import measured_count

    return measured_count(len(gpus) or 1), gpus


def set_up_process() -> None:
    """What the worker changes for its whole process, beside the protocol of its connections."""
    # BentoML has prometheus_client write each value to a file, to be shared by many workers. Here there is one worker,
    # which keeps its values in memory.
    values.ValueClass = values.MutexValue
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about images that are refused and EXIF data that is ignored
    log_without_blocking()
