"""Our server beside one attacker at a time: its memory, and the latency of a healthy client."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from time import sleep

from vitrail.bench.core.report import Progress
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
RATE = 50.0  # requests a second of the healthy client, each with a valid image of 8 × 8
HEAD_START = 0.5  # seconds between the start of the attacker and of the healthy client
SAMPLE_INTERVAL = 0.05  # seconds between two readings of memory
REST = 1.0  # seconds for the server to recover from an attack


@dataclass(frozen=True)
class AttackResult:
    """One attacker: the most bytes beyond those of the idle server; the healthy client's milliseconds alone and under
    attack, their ratio within a round; and how many of its requests were not answered with 200."""

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
    """Each attacker has a server of its own, so that results are independent."""
    return tuple(measure_attack(setup, name, rounds, seconds, seed, progress) for name in attackers)


def measure_attack(setup: Setup, name: str, rounds: int, seconds: float, seed: int, progress: Progress) -> AttackResult:
    folder = setup.folder / f"attack-{name}"
    with started(VITRAIL, setup.model, setup.peers, folder) as running:
        healthy = write_messages([message(VITRAIL.path, "image/webp", webp(8))], folder / "messages")
        send(running, healthy, seconds, seed)  # warms the server up
        sleep(REST)
        idle, highest = resident_bytes(running.pid), 0
        alone, attacked = [], []
        for done in range(rounds):
            progress(f"attack, {name}: round {done + 1} of {rounds}")
            alone.append(send(running, healthy, seconds, seed + done))
            with sampled_memory(running.pid) as readings, under_attack(name, running.port, HEAD_START + seconds):
                sleep(HEAD_START)
                attacked.append(send(running, healthy, seconds, seed + done))
            highest = max(highest, *readings)
            sleep(REST)
    samples = [sample for load in (*alone, *attacked) for sample in load.samples]
    baseline, under = ([percentile_ms(PERCENTILE, load.samples) for load in loads] for loads in (alone, attacked))
    return AttackResult(
        name=name,
        growth=max(0, highest - idle),
        baseline_p98_ms=median_interval(baseline).value,
        attacked_p98_ms=median_interval(under).value,
        p98_ratio=median_interval(high / low for high, low in zip(under, baseline, strict=True)),
        failed=len(samples) - len(successful(samples)),
    )


def send(running: Running, messages: list[str], seconds: float, seed: int) -> Load:
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
    """Readings of the bytes that the workers of this process use."""
    readings, stop = [resident_bytes(root)], Event()

    def read() -> None:
        while not stop.wait(SAMPLE_INTERVAL):
            readings.append(resident_bytes(root))

    thread = Thread(target=read, daemon=True)
    thread.start()
    try:
        yield readings
    finally:
        stop.set()
        thread.join()
