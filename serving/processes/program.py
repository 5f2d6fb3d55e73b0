"""What the programs of fronts and engines have in common: how the hub starts them, and what they set up first."""

import asyncio
import json
import os
import signal
import socket
import warnings
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrail.serving.processes.board import Board

VARIABLE = "VITRAIL_PROCESS"  # what the hub passes to a process, as JSON
METRICS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's
# Messages between a front and the hub, which says STOP, and END once all fronts have DRAINED.
READY, CONNECTION, STOP, DRAINED, END = b"ready", b"connection", b"stop", b"drained", b"end"


@dataclass(frozen=True)
class Program:
    """What a process is given when it starts."""

    name: str
    row: int  # of the board; fronts have the first ones
    fronts: int  # that answer at a time
    engine_rows: list[int]  # one a GPU
    rows: int
    board_descriptor: int
    control_descriptor: int
    folder: str
    address: str  # for the log, and for the names that are allowed in Host
    service: dict[str, str | int | None]  # BentoML's context of this service
    keep_alive: int | None
    grace: int | None
    traces: dict[str, Any] | None  # BentoML's section about them, where they go somewhere
    grpc_fault: str | None  # why gRPC cannot be served

    @cached_property
    def board(self) -> "Board":
        from vitrail.serving.processes.board import Board

        return Board(self.board_descriptor, self.rows, self.row)

    @cached_property
    def control(self) -> socket.socket:
        """The channel to the hub; it ends with the hub."""
        return socket.socket(fileno=self.control_descriptor)

    def engine_address(self, row: int) -> Path:
        """Of its socket."""
        return Path(self.folder) / f"engine{row}"

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def start(cls, serve: "Callable[[Program], Coroutine[Any, Any, None]]") -> None:
        """Run as the program that the hub has started."""
        program = cls(**json.loads(os.environ.pop(VARIABLE)))
        for each in (signal.SIGINT, signal.SIGTERM):  # they may reach all processes at once: the hub says when to stop
            signal.signal(each, signal.SIG_IGN)
        program.set_up()
        from uvicorn.config import Config

        with asyncio.Runner(loop_factory=Config("", log_config=None).get_loop_factory()) as runner:
            runner.run(serve(program))

    def set_up(self) -> None:
        """Log as BentoML's own worker does, and keep metrics in files that all processes read."""
        use_shared_metrics(self.name)
        from bentoml._internal.context import server_context
        from bentoml._internal.log import configure_server_logging

        from vitrail.serving.http.middleware import count_dropped_lines
        from vitrail.serving.log_writer import log_without_blocking

        for name, value in self.service.items():
            setattr(server_context, name, value)
        configure_server_logging()  # type: ignore[no-untyped-call]
        log_without_blocking()
        count_dropped_lines()
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about images that are refused and ignored EXIF data
        if self.traces is not None:
            from vitrail.serving import bento_config, tracing

            bento_config.adopt_tracing(self.traces)
            if exporting := bento_config.exporting_traces():
                tracing.provider = exporting[0]


def use_shared_metrics(name: str) -> None:
    """Keep the values of metrics in files of the folder that METRICS names, which a process of this name continues.

    Called before any metric is made.
    """
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]
