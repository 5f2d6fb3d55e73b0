"""Our server beside one attacker at a time: how much memory it takes then, and how long a healthy caller waits."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from time import sleep

from vitrail.bench.core.rounds import Typical, typical
from vitrail.bench.serve.bombs import webp
from vitrail.bench.serve.calling import message, run_load, write_messages
from vitrail.bench.serve.entrants import Field
from vitrail.bench.serve.family import resident
from vitrail.bench.serve.load import Load, Order
from vitrail.bench.serve.samples import answered, p
from vitrail.bench.serve.servers import VITRAIL, Running, started

PERCENT = 98
MOST_GROWTH = 450e6  # bytes
MOST_RATIO = 4.0
RATE = 50.0  # calls a second of the healthy caller, each with a valid image of 8 × 8
HEAD_START = 0.5  # seconds that the attacker is at work before the healthy caller comes
LOOK = 0.05  # seconds between two looks at memory
REST = 1.0  # seconds in which the server gets over an attack

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Attacked:
    """One attacker: bytes beyond what the idle server held, at most; the healthy caller's milliseconds without it and
    beside it, their ratio within a round; and how many of its calls were not answered with 200."""

    name: str
    growth: int
    alone_p98_ms: float
    beside_p98_ms: float
    beside_over_alone: Typical
    failed: int

    @property
    def within_bounds(self) -> bool:
        return self.growth <= MOST_GROWTH and self.beside_over_alone.high <= MOST_RATIO


def measure_attacks(
    field: Field, attackers: Sequence[str], rounds: int, seconds: float, seed: int, tell: Tell
) -> tuple[Attacked, ...]:
    """Each attacker meets a server of its own: what one leaves behind is not held against the next."""
    return tuple(measure_attack(field, name, rounds, seconds, seed, tell) for name in attackers)


def measure_attack(field: Field, name: str, rounds: int, seconds: float, seed: int, tell: Tell) -> Attacked:
    folder = field.folder / f"attack-{name}"
    with started(VITRAIL, field.model, field.peers, folder) as running:
        healthy = write_messages([message(VITRAIL.path, "image/webp", webp(8))], folder / "messages")
        call(running, healthy, seconds, seed)  # warms the server up
        sleep(REST)
        idle, most = resident(running.leader), 0
        alone, beside = [], []
        for done in range(rounds):
            tell(f"attack, {name}: round {done + 1} of {rounds}")
            alone.append(call(running, healthy, seconds, seed + done))
            with watched_memory(running.leader) as looks, under_attack(name, running.port, HEAD_START + seconds):
                sleep(HEAD_START)
                beside.append(call(running, healthy, seconds, seed + done))
            most = max(most, *looks)
            sleep(REST)
    samples = [sample for load in (*alone, *beside) for sample in load.samples]
    quiet, loud = ([p(PERCENT, load.samples) for load in loads] for loads in (alone, beside))
    return Attacked(
        name=name,
        growth=max(0, most - idle),
        alone_p98_ms=typical(quiet).value,
        beside_p98_ms=typical(loud).value,
        beside_over_alone=typical(beside / alone for beside, alone in zip(loud, quiet, strict=True)),
        failed=len(samples) - len(answered(samples)),
    )


def call(running: Running, messages: list[str], seconds: float, seed: int) -> Load:
    return run_load(Order(running.port, messages, running.processes(), stages=[(RATE, seconds)], seed=seed))


@contextmanager
def under_attack(name: str, port: int, seconds: float) -> Iterator[None]:
    command = [sys.executable, "-m", "vitrail.bench.serve.attackers", name, str(port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def watched_memory(leader: int) -> Iterator[list[int]]:
    """The bytes that the workers of this leader hold, looked at until the end."""
    looks, over = [resident(leader)], Event()

    def watch() -> None:
        while not over.wait(LOOK):
            looks.append(resident(leader))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()
