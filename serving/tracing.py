"""Traces of requests and their stages, where BentoML's configuration sends them somewhere; else nothing is done."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, time_ns

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import Span, TracerProvider
from opentelemetry.util.http import ExcludeList
from starlette.types import ASGIApp

NANOSECONDS = 1_000_000_000

provider: TracerProvider | None = None  # none: no trace is asked for


def traced(app: ASGIApp, of: TracerProvider, excluded: ExcludeList) -> ASGIApp:
    """The application with a span for each request, below the caller's own where its headers name one."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    global provider
    provider = of
    whole: ASGIApp = OpenTelemetryMiddleware(
        app, excluded_urls=excluded, tracer_provider=of, exclude_spans=["receive", "send"]
    )
    return whole


@contextmanager
def call(service: str, method: str, headers: Mapping[str, str]) -> Iterator[None]:
    """A span for a call that is not HTTP's, below the caller's own where its headers name one."""
    if provider is None:
        yield
        return
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    with provider.get_tracer("vitrail").start_as_current_span(
        f"{service}/{method}", extract(headers), trace.SpanKind.SERVER, attributes, record_exception=False
    ):
        yield


def current() -> Span | None:
    """The span of the current request, where it is in the sample that is exported."""
    if provider is None:
        return None
    span = trace.get_current_span()
    return span if span.get_span_context().trace_flags.sampled else None


def identity() -> tuple[bytes, bytes]:
    """The current trace and span, for another process; zeros where nothing is recorded."""
    if (span := current()) is None:
        return bytes(16), bytes(8)
    context = span.get_span_context()
    return context.trace_id.to_bytes(16), context.span_id.to_bytes(8)


@contextmanager
def continued(of: bytes, span: bytes) -> Iterator[None]:
    """Stages in it belong to a span of another process."""
    if provider is None or not any(of):
        yield
        return
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    context = trace.SpanContext(int.from_bytes(of), int.from_bytes(span), is_remote=True, trace_flags=flags)
    with trace.use_span(trace.NonRecordingSpan(context)):
        yield


@contextmanager
def stage(name: str, **attributes: int) -> Iterator[None]:
    """A span for a stage of the current request."""
    parent, begin = current(), perf_counter()
    try:
        yield
    finally:
        if parent is not None:
            record(name, parent, begin, perf_counter(), **attributes)


def record(name: str, parent: Span, begin: float, end: float, **attributes: int) -> None:
    """A stage that has ended, with its times by `perf_counter`."""
    if provider is None:
        return
    offset = time_ns() - perf_counter() * NANOSECONDS
    span = provider.get_tracer("vitrail").start_span(
        name,
        context=trace.set_span_in_context(parent),
        start_time=round(begin * NANOSECONDS + offset),
        attributes=attributes,
    )
    span.end(round(end * NANOSECONDS + offset))
