"""BentoML's arbiter, the parent of the worker: here it replaces a dead worker at once, and a dying one ever later."""

import logging
import signal
import time
from typing import Any

from bentoml._internal.utils import circus
from circus.watcher import Watcher

from vitrail.serving.log_writer import log_without_waiting

SETTLED = 60.0  # seconds; a worker that dies earlier may die again and again
LONGEST_PAUSE = 30.0  # seconds
RETRY = 0.05  # seconds until an arbiter that is busy is asked again

log = logging.getLogger("bentoml.vitrail")


def pause(early_deaths: int) -> float:
    """Seconds until the next start: 0 after the first early death in a row, then 1, 2, 4, … up to the longest."""
    return min(2.0 ** (early_deaths - 2), LONGEST_PAUSE) if early_deaths > 1 else 0.0


class PromptArbiter(circus.Arbiter):
    """Starts another worker when the system reports the end of one.

    BentoML's own looks every 10 seconds for workers that are missing. That look stays, as often as the longest pause.
    BentoML's also loses SIGTERM and Ctrl-C that come while it starts a worker; here they wait until it is done.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "check_delay": LONGEST_PAUSE})
        self.early_deaths = 0

    def start(self, cb: Any = None) -> None:
        self.loop.asyncio_loop.add_signal_handler(signal.SIGCHLD, self.on_child_end)
        super().start(cb)

    def on_child_end(self) -> None:
        if self._stopping:
            return
        workers = [(watcher, each) for watcher in self.iter_watchers() for each in watcher.processes.values()]
        self.reap_processes()
        for watcher, worker in workers:
            if worker.pid not in watcher.processes:
                self.replace(watcher, worker.pid, time.time() - worker.started)

    def replace(self, watcher: Watcher, pid: int, lifetime: float) -> None:
        self.early_deaths = self.early_deaths + 1 if lifetime < SETTLED else 0
        seconds = pause(self.early_deaths)
        if watcher.respawn:  # in a container the server ends with its worker
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
    """Called once in the parent of the worker, before it starts one: BentoML has no option for another arbiter."""
    log_without_waiting()
    circus.Arbiter = PromptArbiter  # type: ignore[misc]
