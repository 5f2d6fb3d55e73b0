"""BentoML's arbiter, the parent of the worker: replaces a dead worker at once, with back-off in a crash loop."""

import logging
import signal
import time
from typing import Any

from bentoml._internal.utils import circus
from circus.watcher import Watcher

from vitrail.serving.log_writer import log_without_blocking

STABLE_AFTER = 60.0  # seconds; a worker that dies earlier counts towards a crash loop
MAX_DELAY = 30.0  # seconds
RETRY = 0.05  # seconds until a command is tried again while the arbiter is busy

log = logging.getLogger("bentoml.vitrail")


def restart_delay(early_deaths: int) -> float:
    """Seconds until the next start: 0 after the first early death in a row, then 1, 2, 4, … up to MAX_DELAY."""
    return min(2.0 ** (early_deaths - 2), MAX_DELAY) if early_deaths > 1 else 0.0


class PromptArbiter(circus.Arbiter):
    """Starts another worker on SIGCHLD.

    BentoML's own checks for missing workers every 10 seconds; this one still does, every MAX_DELAY seconds. BentoML's
    also loses a SIGTERM or Ctrl-C that arrives while it starts a worker; here it is handled afterwards.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "check_delay": MAX_DELAY})
        self.early_deaths = 0

    def start(self, cb: Any = None) -> None:
        self.loop.asyncio_loop.add_signal_handler(signal.SIGCHLD, self.on_child_end)
        super().start(cb)

    def on_child_end(self) -> None:
        if self._stopping:
            return
        if self._exclusive_running_command is not None:
            # A start in progress that finds its worker already reaped ends the server.
            self.loop.call_later(RETRY, self.on_child_end)
            return
        workers = [(watcher, each) for watcher in self.iter_watchers() for each in watcher.processes.values()]
        self.reap_processes()
        for watcher, worker in workers:
            if worker.pid not in watcher.processes:
                self.replace(watcher, worker.pid, time.time() - worker.started)

    def replace(self, watcher: Watcher, pid: int, lifetime: float) -> None:
        self.early_deaths = self.early_deaths + 1 if lifetime < STABLE_AFTER else 0
        seconds = restart_delay(self.early_deaths)
        if watcher.respawn:  # not in a container, where the server ends with its worker
            log.warning("worker %d has ended; another starts%s", pid, f" in {seconds:g} s" if seconds else "")
        self.loop.call_later(seconds, self.start_missing)

    def start_missing(self) -> None:
        if self._stopping:
            return
        if self._exclusive_running_command is None:
            self.loop.add_future(self.manage_watchers(), lambda done: done.result())
        else:
            self.loop.call_later(RETRY, self.start_missing)

    def stop(self) -> Any:
        if self._exclusive_running_command is None or self._stopping:
            return super().stop()
        self.loop.call_later(RETRY, self.stop)
        return None


def prepare_parent() -> None:
    """Called once in the parent, before it starts the worker; BentoML has no option for another arbiter."""
    log_without_blocking()
    circus.Arbiter = PromptArbiter  # type: ignore[misc]
