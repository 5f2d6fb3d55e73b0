"""Request ids, metrics and the access log: the outermost middleware."""

import os
import re
from collections.abc import Iterator
from glob import glob
from random import getrandbits
from time import perf_counter

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrail.serving.http import access_log
from vitrail.serving.http.caller import CALLER, address_of
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.problems import Problem
from vitrail.serving.log_writer import STDOUT

# Label values come from closed sets, so a client that tries many paths adds no series.
REQUESTS = Counter("vitrail_requests", "Requests answered, by route and status", ["route", "status"])
STAGES = Histogram(
    "vitrail_stage_seconds",
    "Seconds in each stage: decode and explain per image, queue per image or array, infer per batch, "
    "total from the end of the body to the response",
    ["stage"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
STAGE = {name: STAGES.labels(name) for name in ("decode", "explain", "queue", "infer", "total")}
BATCHES = Histogram("vitrail_batch_images", "Images per batch", buckets=(1, 2, 4, 8, 16, 32))
WAITING = Gauge("vitrail_waiting_images", "Images that wait, by the stage they wait for", ["stage"])
DECODE_BYTES = Gauge("vitrail_decode_reserved_bytes", "Memory reserved for the images being decoded")
REFUSED = Counter("vitrail_refused", "Requests refused or cancelled, by reason", ["reason"])
READY = Gauge("vitrail_ready", "1 once the model is ready, by provider", ["provider"])
DROPPED = Counter("vitrail_log_lines_dropped", "Log lines that could not be written to standard output")

# BentoML's own names and labels, for dashboards made for it. Its middleware would add series for every path that a
# client tries; here the endpoint is the route.
OF_SERVICE = ["service_name", "service_version"]
BENTO_REQUESTS = Counter(
    "bentoml_service_request", "Requests answered", ["endpoint", *OF_SERVICE, "http_response_code"]
)
BENTO_SECONDS = Histogram(
    "bentoml_service_request_duration_seconds", "Seconds of a request", ["endpoint", *OF_SERVICE, "http_response_code"]
)
BENTO_IN_PROGRESS = Gauge("bentoml_service_request_in_progress", "Requests in flight", ["endpoint", *OF_SERVICE])
BENTO_LAST = Gauge(
    "bentoml_service_last_request_timestamp_seconds", "When the last request came", OF_SERVICE, multiprocess_mode="max"
)

KEPT = ("counter", "histogram", "gauge_max")  # in files, where there are several processes
OWN = ("vitrail_", "bentoml_")

NO_ROUTE = "none"
ALL_ROUTES = "all"  # of requests in flight, whose routes are not known yet
CLIENT_GONE = 499  # nginx's status for a client that left without a response
REASONS = ("not_ready", "draining", "busy", "late", "gone")
RETRY = {"retry-after": "1"}
SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

for reason in REASONS:
    REFUSED.labels(reason)  # exported as 0 from the start, so that the first refusal shows as an increase


def unavailable(reason: str, detail: str) -> Problem:
    """A 503 with Retry-After; counts the refusal."""
    REFUSED.labels(reason).inc()
    return Problem(503, reason, detail, RETRY)


def count_dropped_lines() -> None:
    """Count the lines that the log writer drops."""
    STDOUT.on_drop = DROPPED.inc


def metrics() -> bytes:
    """All metrics, BentoML's included: of this process, or of all that keep their values in files."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR") if values.ValueClass is not values.MutexValue else None
    return generate_latest(REGISTRY if folder is None else Everywhere(folder))


class Everywhere(CollectorRegistry):
    """Counts of all processes from their files, and gauges as this process knows them for all."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def collect(self) -> Iterator[Metric]:
        files = [path for kind in KEPT for path in glob(f"{self.folder}/{kind}_*.db")]
        merged = {each.name: each for each in MultiProcessCollector.merge(files)}  # type: ignore[no-untyped-call]
        yield from merged.values()
        for each in REGISTRY.collect():
            if each.type == "gauge" and each.name.startswith(OWN) and each.name not in merged:
                yield each


class TelemetryMiddleware:
    """Wraps the whole application, so that even its failures carry a request id and are counted."""

    def __init__(self, app: ASGIApp, gate: Gate, service: tuple[str, str] = ("", "")) -> None:
        self.app = app
        self.gate = gate
        self.service = service  # name and version
        BENTO_IN_PROGRESS.labels(ALL_ROUTES, *self.service).set_function(gate.all_in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        CALLER.set(address_of(scope))
        status, start = CLIENT_GONE, perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                if in_flight.admitted_in_time and not self.gate.is_open:
                    headers["connection"] = "close"  # or the next request would be sent to a closing connection
            await send(message)

        with self.gate.track() as in_flight:
            scope["state"] = {**scope.get("state", {}), "request_id": request_id, "in_flight": in_flight}
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                route, path, seconds = route_of(scope), scope["path"], perf_counter() - start
                record(self.service, route, status, seconds)
                access_log.write(request_id, scope["method"], path, route, status, seconds)


def record(service: tuple[str, str], route: str, status: int, seconds: float) -> None:
    """Count a request that was answered."""
    REQUESTS.labels(route, str(status)).inc()
    BENTO_REQUESTS.labels(route, *service, str(status)).inc()
    BENTO_SECONDS.labels(route, *service, str(status)).observe(seconds)
    if route not in access_log.PROBES:
        BENTO_LAST.labels(*service).set_to_current_time()


def request_id_of(scope: Scope) -> str:
    return safe_id(Headers(scope=scope).get("x-request-id", ""))


def safe_id(given: str) -> str:
    """The client's X-Request-ID where it is safe in a log, else a new one (unique, not secret)."""
    return given if SAFE_ID.fullmatch(given) else f"{getrandbits(128):032x}"


def route_of(scope: Scope) -> str:
    """The route's path template, never the requested path."""
    return getattr(scope.get("route"), "path", NO_ROUTE)
