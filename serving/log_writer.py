"""Log lines on their way to standard output: a thread writes them, so that nothing else waits for their reader."""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from threading import Event, RLock, Thread
from time import monotonic, sleep

MOST_WAITING = 10_000  # lines; some seconds of a busy server
GATHERING = 0.01  # seconds in which lines gather, to be written at once: a thread woken for each costs a request 30 µs
LAST_WORDS = 1.0  # seconds to write what is left when the process ends


class LogWriter:
    """A stream for `logging.StreamHandler` whose `write` neither waits nor fails: what cannot be written is dropped.

    The thread writes to the file itself and not to `sys.stdout`, whose buffer keeps what it could not write.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.on_drop: Callable[[int], None] = lambda lines: None
        self.lock = RLock()  # a signal handler may log, too
        self.news = Event()
        self.is_writing = False
        self.thread: Thread | None = None

    def write(self, line: str) -> None:
        with self.lock:
            has_room = len(self.lines) < MOST_WAITING
            if has_room:
                self.lines.append(line)
            if self.thread is None:
                self.start()
        if not has_room:
            self.on_drop(1)
        elif not self.news.is_set():
            self.news.set()

    def flush(self) -> None:
        """Nothing: the thread writes a line as soon as it can."""

    def start(self) -> None:
        self.thread = Thread(target=self.run, name="log", daemon=True)
        self.thread.start()
        atexit.register(self.drain)

    def run(self) -> None:
        while True:
            self.news.wait()
            sleep(GATHERING)
            with self.lock:
                self.news.clear()
                lines, self.lines = self.lines, []
                self.is_writing = True
            try:
                write_all("".join(lines).encode(errors="backslashreplace"))
            except OSError:  # a full disk, a reader that is gone
                self.on_drop(len(lines))
            self.is_writing = False

    def drain(self) -> None:
        """Wait until all is written, within bounds."""
        end = monotonic() + LAST_WORDS
        while (self.lines or self.is_writing) and monotonic() < end:
            sleep(0.005)


def write_all(data: bytes) -> None:
    if sys.__stdout__ is None:  # closed when the process started: its number may be another file's now
        raise OSError("there is no standard output")
    descriptor = sys.__stdout__.fileno()
    while data:
        data = data[os.write(descriptor, data) :]


STDOUT = LogWriter()


def log_without_waiting() -> None:
    """Let BentoML's log handlers, which write to the standard streams, write here."""
    for logger in (logging.getLogger(), logging.getLogger("bentoml")):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr):
                handler.stream = STDOUT  # `setStream` would flush the old one, which may be what cannot be written
