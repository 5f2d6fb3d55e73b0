"""The outermost layer: gives each request an id, and counts and notes it once it is answered."""

import re
from random import getrandbits
from time import perf_counter

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest, values
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrail.serving.http import access_log as journal
from vitrail.serving.http.gate import Gate
from vitrail.serving.http.problems import Problem
from vitrail.serving.log_writer import STDOUT

# BentoML asks for every number to be written into a file, for the many workers that it may have. There is one here,
# which tells its numbers itself.
values.ValueClass = values.MutexValue

# Made once a process, as prometheus_client wants it. Labels come from closed sets: a scan adds no series.
REQUESTS = Counter("vitrail_requests", "Requests answered, by route and status", ["route", "status"])
STAGES = Histogram(
    "vitrail_stage_seconds",
    "Seconds in each stage: decode and explain for each image, queue for each image or array, "
    "infer for each batch, total from the body to the answer",
    ["stage"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
STAGE = {name: STAGES.labels(name) for name in ("decode", "explain", "queue", "infer", "total")}
BATCHES = Histogram("vitrail_batch_images", "Images computed together", buckets=(1, 2, 4, 8, 16, 32))
WAITING = Gauge("vitrail_waiting_images", "Images taken in and not yet computed, by what they wait for", ["stage"])
DECODE_BYTES = Gauge("vitrail_decode_reserved_bytes", "Memory reserved for the images that are being decoded")
REFUSED = Counter("vitrail_refused", "Requests that were turned away or given up, by reason", ["reason"])
READY = Gauge("vitrail_ready", "1 where the model is ready, on the provider in use", ["provider"])
DROPPED = Counter("vitrail_log_lines_dropped", "Log lines that standard output did not take")
STDOUT.on_drop = DROPPED.inc

NO_ROUTE = "none"
CLIENT_GONE = 499  # nothing was answered, as nginx counts it
REASONS = ("not_ready", "draining", "busy", "late", "gone")
RETRY = {"retry-after": "1"}
SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

for reason in REASONS:
    REFUSED.labels(reason)  # from the start, so that a first refusal shows as a rise


def refused(status: int, reason: str, detail: str) -> Problem:
    """The answer to a request that is turned away, once it is counted."""
    REFUSED.labels(reason).inc()
    return Problem(status, reason, detail, RETRY)


def metrics() -> bytes:
    """All that this process has counted, BentoML's numbers among it."""
    return generate_latest(REGISTRY)


class Watch:
    """Wraps the whole application, so that even its failures carry an id and are counted."""

    def __init__(self, app: ASGIApp, door: Gate) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        status, start = CLIENT_GONE, perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                if visit.came_in_time and not self.door.open:
                    headers["connection"] = "close"  # or the next request would meet a connection that is ending
            await send(message)

        with self.door.visit() as visit:
            scope["state"] = {**scope.get("state", {}), "request_id": request_id, "visit": visit}
            try:
                await self.app(scope, receive, watched)
            finally:
                count(scope, request_id, status, perf_counter() - start)


def count(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    route = route_of(scope)
    REQUESTS.labels(route, str(status)).inc()
    journal.enter(request_id, scope["method"], scope["path"], route, status, seconds)


def request_id_of(scope: Scope) -> str:
    """The caller's own id where it is harmless in a log, else a new one; it is no secret."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if SAFE_ID.fullmatch(given) else f"{getrandbits(128):032x}"


def route_of(scope: Scope) -> str:
    """The route's template, never the path that was asked for."""
    return getattr(scope.get("route"), "path", NO_ROUTE)
