"""Our server beside one attacker at a time: how much memory it takes then, and how long a healthy caller waits."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from time import sleep

from vitrail.bench.core.rounds import MedianInterval, median_interval
from vitrail.bench.serve.bombs import webp
from vitrail.bench.serve.client import message, run_load, write_messages
from vitrail.bench.serve.contenders import Setup
from vitrail.bench.serve.load import Load, LoadSpec
from vitrail.bench.serve.processes import resident_bytes
from vitrail.bench.serve.samples import percentile_ms, successful
from vitrail.bench.serve.servers import VITRAIL, Running, started

PERCENTILE = 98
MAX_GROWTH = 450e6  # bytes
MAX_RATIO = 4.0
RATE = 50.0  # calls a second of the healthy caller, each with a valid image of 8 × 8
HEAD_START = 0.5  # seconds that the attacker is at work before the healthy caller comes
SAMPLE_INTERVAL = 0.05  # seconds between two looks at memory
REST = 1.0  # seconds in which the server gets over an attack

Progress = Callable[[str], None]


@dataclass(frozen=True)
class AttackResult:
    """One attacker: bytes beyond what the idle server usage, at most; the healthy caller's milliseconds without it and
    beside it, their ratio within a round; and how many of its calls were not answered with 200."""

    name: str
    growth: int
    baseline_p98_ms: float
    attacked_p98_ms: float
    p98_ratio: MedianInterval
    failed: int

    @property
    def within_bounds(self) -> bool:
        return self.growth <= MAX_GROWTH and self.p98_ratio.high <= MAX_RATIO


def measure_attacks(
    setup: Setup, attackers: Sequence[str], rounds: int, seconds: float, seed: int, progress: Progress
) -> tuple[AttackResult, ...]:
    """Each attacker meets a server of its own: what one leaves behind is not held against the next."""
    return tuple(measure_attack(setup, name, rounds, seconds, seed, progress) for name in attackers)


def measure_attack(setup: Setup, name: str, rounds: int, seconds: float, seed: int, progress: Progress) -> AttackResult:
    folder = setup.folder / f"attack-{name}"
    with started(VITRAIL, setup.model, setup.peers, folder) as running:
        healthy = write_messages([message(VITRAIL.path, "image/webp", webp(8))], folder / "messages")
        call(running, healthy, seconds, seed)  # warms the server up
        sleep(REST)
        idle, most = resident_bytes(running.pid), 0
        alone, beside = [], []
        for done in range(rounds):
            progress(f"attack, {name}: round {done + 1} of {rounds}")
            alone.append(call(running, healthy, seconds, seed + done))
            with sampled_memory(running.pid) as looks, under_attack(name, running.port, HEAD_START + seconds):
                sleep(HEAD_START)
                beside.append(call(running, healthy, seconds, seed + done))
            most = max(most, *looks)
            sleep(REST)
    samples = [sample for load in (*alone, *beside) for sample in load.samples]
    quiet, loud = ([percentile_ms(PERCENTILE, load.samples) for load in loads] for loads in (alone, beside))
    return AttackResult(
        name=name,
        growth=max(0, most - idle),
        baseline_p98_ms=median_interval(quiet).value,
        attacked_p98_ms=median_interval(loud).value,
        p98_ratio=median_interval(beside / alone for beside, alone in zip(loud, quiet, strict=True)),
        failed=len(samples) - len(successful(samples)),
    )


def call(running: Running, messages: list[str], seconds: float, seed: int) -> Load:
    return run_load(LoadSpec(running.port, messages, running.processes(), stages=[(RATE, seconds)], seed=seed))


@contextmanager
def under_attack(name: str, port: int, seconds: float) -> Iterator[None]:
    command = [sys.executable, "-m", "vitrail.bench.serve.attackers", name, str(port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def sampled_memory(root: int) -> Iterator[list[int]]:
    """The bytes that the workers of this root hold, looked at until the end."""
    looks, over = [resident_bytes(root)], Event()

    def watch() -> None:
        while not over.wait(SAMPLE_INTERVAL):
            looks.append(resident_bytes(root))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()
