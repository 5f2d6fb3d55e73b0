"""The gRPC server: calls are admitted, received, answered, counted and drained as HTTP requests are."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from logging import getLogger
from time import perf_counter
from traceback import clear_frames
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
from grpc.aio import EOF, ServicerContext

from vitrail import __version__
from vitrail.model_file.described import DescribedModel
from vitrail.serving import settings, tracing
from vitrail.serving.engine.engine import Engine
from vitrail.serving.grpc import inference
from vitrail.serving.grpc.messages import CLASSES, SERVICE
from vitrail.serving.grpc.receiving import Receiving
from vitrail.serving.grpc.wire import MAX_REST, split_raw
from vitrail.serving.http import access_log
from vitrail.serving.http.body import BODY_TIMEOUT, MAX_BODY
from vitrail.serving.http.caller import CALLER
from vitrail.serving.http.gate import InFlightRequest
from vitrail.serving.http.middleware import CLIENT_GONE, REFUSED, STAGE, record, safe_id, unavailable
from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.v2 import routes as v2
from vitrail.serving.routes.v2.response import VERSION

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_BODY + MAX_REST),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16_384),
    ("grpc.max_concurrent_streams", 100),  # of a connection
    ("grpc.http2.bdp_probe", 0),  # else what is not read yet is buffered by the megabyte
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: images are compressed already, and others could be bombs
]
STATUS = {  # by that of HTTP
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
log = getLogger("bentoml.vitrail")
FAILED = Problem(500, "internal_error", "the server failed; its log has the traceback and this request's id")


@dataclass(frozen=True)
class Call:
    """A call that was received, with its request in flight."""

    message: bytes
    in_flight: InFlightRequest


class InferenceService:
    """The methods of the protocol over an engine."""

    def __init__(self, engine: Engine, service: tuple[str, str]) -> None:
        self.engine = engine
        self.service = service
        self.receiving = Receiving()

    async def server_live(self, call: Call) -> Any:
        return CLASSES["ServerLiveResponse"](live=True)

    async def server_ready(self, call: Call) -> Any:
        return CLASSES["ServerReadyResponse"](ready=self.engine.not_ready_reason is None)

    async def server_metadata(self, call: Call) -> Any:
        return CLASSES["ServerMetadataResponse"](name="vitrail", version=__version__, extensions=v2.EXTENSIONS[1:])

    async def model_ready(self, call: Call) -> Any:
        self.require_model(inference.parsed("ModelReadyRequest", call.message))
        return CLASSES["ModelReadyResponse"](ready=True)

    async def model_metadata(self, call: Call) -> Any:
        request = inference.parsed("ModelMetadataRequest", call.message)
        return CLASSES["ModelMetadataResponse"](**v2.description(self.require_model(request)))

    async def model_infer(self, call: Call) -> Any:
        engine = self.engine
        if not call.in_flight.reserve(len(call.message)):
            raise unavailable("busy", "the bodies of other requests fill the memory; try again in a moment")
        start = perf_counter()
        rest, raw = split_raw(call.message)
        message = inference.parsed("ModelInferRequest", rest)
        model = engine.loaded()
        v2.refuse_another(model, message.model_name, message.model_version or VERSION)
        request = inference.inference_request(message, raw, v2.available_outputs(model))
        try:
            async with asyncio.timeout(engine.deadline) as deadline:
                outputs = await v2.predict_data(engine, request.images)
        except TimeoutError:
            if not deadline.expired():
                raise
            REFUSED.labels("late").inc()
            detail = f"no response within {engine.deadline:g} seconds: the server is overloaded"
            raise Problem(504, "deadline_passed", detail) from None
        STAGE["total"].observe(perf_counter() - start)
        return inference.inference_response(model, request, outputs)

    def require_model(self, request: Any) -> DescribedModel:
        model = v2.loaded(self.engine)
        v2.refuse_another(model, request.name, request.version or VERSION)
        return model

    async def receive(self, context: ServicerContext, caller: str) -> bytes:
        """The message of a call: it is read only now, so that what is refused costs nothing."""
        try:
            async with asyncio.timeout(BODY_TIMEOUT), self.receiving.place(caller):
                message = await context.read()
        except TimeoutError:
            raise Problem(408, "body_too_slow", "the message came too slowly") from None
        if message is EOF:
            raise Problem(400, "bad_message", "there is no message")
        return bytes(message)

    async def handle(
        self, name: str, work: Callable[[Call], Awaitable[Any]], _: object, context: ServicerContext
    ) -> bytes:
        """One call, whatever it is; `work` gets it once it is received."""
        path, status, start = f"/{SERVICE}/{name}", CLIENT_GONE, perf_counter()
        request_id, caller = request_id_of(context), address_of(context.peer())
        CALLER.set(caller)
        with tracing.call(SERVICE, name, headers_of(context)), self.engine.gate.track() as in_flight:
            try:
                if name == "ModelInfer":
                    self.engine.ready()
                    await self.engine.admit(in_flight)
                response = await work(Call(await self.receive(context, caller), in_flight))
                status = 200
                return bytes(response.SerializeToString())
            except Problem as problem:
                status = problem.status
                await refuse(context, problem, request_id)
            except Exception:
                log.exception("gRPC: request %s failed", request_id)
                status = FAILED.status
                await refuse(context, FAILED, request_id)
            finally:
                if status == CLIENT_GONE:
                    REFUSED.labels("gone").inc()
                seconds = perf_counter() - start
                record(self.service, path, status, seconds)
                access_log.write(request_id, "POST", path, path, status, seconds)

    def handlers(self) -> grpc.GenericRpcHandler:
        """As calls whose messages are streams: one that is sent as a whole is the same on the wire."""
        methods = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.stream_unary_rpc_method_handler(partial(self.handle, name, work))
                for name, work in methods.items()
            },
        )


async def refuse(context: ServicerContext, problem: Problem, request_id: str) -> NoReturn:
    """End a call with an error; its code and what HTTP has in headers are in the trailing metadata."""
    clear_frames(problem.__traceback__)  # else they hold the message until the next garbage collection
    metadata = [("code", problem.code), ("x-request-id", request_id)]
    metadata += [(name, value) for name, value in (problem.headers or {}).items() if name == "retry-after"]
    await context.abort(STATUS[problem.status], str(problem), tuple(metadata))
    raise AssertionError("the call was not ended")


def request_id_of(context: ServicerContext) -> str:
    return safe_id(headers_of(context).get("x-request-id", ""))


def headers_of(context: ServicerContext) -> dict[str, str]:
    """The caller's metadata, without those that are binary."""
    return {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}


def address_of(peer: str) -> str:
    """The address in gRPC's name of a peer: ipv4:192.0.2.1:5000, or ipv6:%5B::1%5D:5000."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")


async def start(engine: Engine, address: str, service: tuple[str, str], *, is_shared: bool = False) -> grpc.aio.Server:
    """Listen on HOST:PORT, which the processes of one server share."""
    server = grpc.aio.server(
        handlers=[InferenceService(engine, service).handlers()],
        options=[*OPTIONS, ("grpc.so_reuseport", int(is_shared))],  # else a second server on the port is an error
        maximum_concurrent_rpcs=settings.connections(),
    )
    server.add_insecure_port(address)
    await server.start()
    return server
