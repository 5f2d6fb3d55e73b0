"""The parent of the worker: it restarts a dead worker, with back-off, and never misses a request to stop."""

import subprocess
import sys

import pytest

from vitrail.serving import arbiter
from vitrail.serving.arbiter import MAX_DELAY, restart_delay

# Our arbiter in its own process, that never polls for missing workers. `starts` has the pid of each
# worker, `early` the number of early deaths in a row at each death.
PARENT = """
import os, signal, sys
from bentoml._internal.utils import circus
from bentoml.serving import create_watcher
from vitrail.serving import arbiter

starts, early = [], []
arbiter.MAX_DELAY = 3600
arbiter.restart_delay = lambda count: early.append(count) or 0.0
circus.Arbiter = arbiter.PromptArbiter
watcher = create_watcher("service", cmd=sys.executable, args=["-S", "-c", sys.argv[1]])
parent = circus.create_standalone_arbiter([watcher])

def look():
    pids = [pid for pid in watcher.processes if pid not in starts]
    starts.extend(pids)
    if len(starts) > 4:
        print(early, len(set(starts)), flush=True)
        {end}
    else:
        for pid in pids:
            {each}
        parent.loop.call_later(0.01, look)

parent.loop.call_later(0.01, look)
parent.start()
print("ended")
"""
FOREVER, AT_ONCE = "import time; time.sleep(60)", "pass"
KILL, STOP = "os.kill(pid, signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGTERM)"


def run(worker: str, **parts: str) -> str:
    program = PARENT.format(**{"each": "pass", "end": STOP, **parts})
    done = subprocess.run([sys.executable, "-c", program, worker], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_worker_death_starts_another() -> None:
    assert run(FOREVER, each=KILL) == "[1, 2, 3, 4] 5\nended\n"


def test_stable_worker_is_not_an_early_death() -> None:
    assert run(FOREVER, each=f"arbiter.STABLE_AFTER = 0; {KILL}") == "[0, 0, 0, 0] 5\nended\n"


def test_early_death_is_counted() -> None:
    early, _, rest = run(AT_ONCE).partition("] ")
    assert early.startswith("[1, 2, 3, 4")
    assert rest == "5\nended\n"


def test_stop_waits_for_a_starting_worker() -> None:
    """BentoML's own arbiter then responds to SIGTERM with an error, and continues."""
    busy = 'parent._exclusive_running_command = "manage_watchers"'
    free = 'parent.loop.call_later(0.3, setattr, parent, "_exclusive_running_command", None)'
    assert run(FOREVER, each=KILL, end=f"{busy}; {STOP}; {free}").endswith("ended\n")


def test_worker_that_dies_while_it_is_started_is_replaced() -> None:
    """circus looks after the start whether there is a worker; one that was reaped by then would end the server."""
    slow_start = "watcher.warmup_delay = 0.05"
    kill_at_once = f"parent.loop.call_later(0, lambda pid=pid: {KILL})"
    assert run(FOREVER, each=f"{slow_start}; {kill_at_once}").endswith("5\nended\n")


@pytest.mark.parametrize(("early", "seconds"), list(enumerate([0, 0, 1, 2, 4, 8, 16, MAX_DELAY, MAX_DELAY])))
def test_restart_delay_grows_to_a_bound(early: int, seconds: float) -> None:
    assert restart_delay(early) == seconds


def test_crash_loop_is_slowed_down() -> None:
    """A worker that takes 3 seconds to start and die is restarted at most every half minute in the first hour."""
    moments, now = list[float](), 0.0
    while now < 3600:
        moments.append(now)
        now += 3 + arbiter.restart_delay(len(moments))
    assert len(moments) <= 3600 / (3 + MAX_DELAY) + 8
