"""A thread that writes log lines to standard output, so that a slow reader delays no request."""

import atexit
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from select import PIPE_BUF
from threading import Event, RLock, Thread
from time import monotonic, sleep

MAX_WAITING = 10_000  # lines
BATCH_DELAY = 0.01  # seconds in which lines gather for one write: waking the thread for each costs a request 30 µs
DRAIN_TIMEOUT = 1.0  # seconds to write the rest when the process ends


class LogWriter:
    """A stream for `logging.StreamHandler` whose `write` neither blocks nor fails; what cannot be written is dropped.

    The thread writes to the file descriptor, not to `sys.stdout`, whose buffer keeps what it could not write.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.on_drop: Callable[[int], None] = lambda lines: None
        self.lock = RLock()  # reentrant, as a signal handler may log too
        self.has_lines = Event()
        self.is_writing = False
        self.thread: Thread | None = None

    def write(self, line: str) -> None:
        with self.lock:
            has_room = len(self.lines) < MAX_WAITING
            if has_room:
                self.lines.append(line)
            if self.thread is None:
                self.start()
        if not has_room:
            self.on_drop(1)
        elif not self.has_lines.is_set():
            self.has_lines.set()

    def flush(self) -> None:
        """Does nothing: the thread writes lines as soon as it can."""

    def start(self) -> None:
        self.thread = Thread(target=self.run, name="log", daemon=True)
        self.thread.start()
        atexit.register(self.drain)

    def run(self) -> None:
        while True:
            self.has_lines.wait()
            sleep(BATCH_DELAY)
            with self.lock:
                self.has_lines.clear()
                lines, self.lines = self.lines, []
                self.is_writing = True
            try:
                for piece in pieces(lines):
                    write_all(piece)
            except OSError:  # a full disk, or a closed pipe
                self.on_drop(len(lines))
            self.is_writing = False

    def drain(self) -> None:
        """Wait until all lines are written, at most DRAIN_TIMEOUT."""
        end = monotonic() + DRAIN_TIMEOUT
        while (self.lines or self.is_writing) and monotonic() < end:
            sleep(0.005)


def pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """Whole lines in pieces that a pipe takes at once: those of several processes do not mix."""
    piece = b""
    for line in lines:
        encoded = line.encode(errors="backslashreplace")
        if piece and len(piece) + len(encoded) > PIPE_BUF:
            yield piece
            piece = b""
        piece += encoded
    yield piece


def write_all(data: bytes) -> None:
    if sys.__stdout__ is None:  # closed when the process started; descriptor 1 may be another file now
        raise OSError("there is no standard output")
    descriptor = sys.__stdout__.fileno()
    while data:
        data = data[os.write(descriptor, data) :]


STDOUT = LogWriter()


def log_without_blocking() -> None:
    """Redirect BentoML's log handlers from the standard streams to STDOUT."""
    for logger in (logging.getLogger(), logging.getLogger("bentoml")):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr):
                handler.stream = STDOUT  # not `setStream`, which flushes the old stream and may block
