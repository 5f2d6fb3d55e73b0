"""Contenders in processes of their own, which wait for their turns: only the one whose turn it is works."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from time import perf_counter

from vitrail.bench.serve.processes import cpu_seconds, process_tree
from vitrail.bench.train.plan import Contender, Setup, Turns
from vitrail.errors import VitrailError

MODULES = ["vitrail.bench.train.contenders"]  # imported once, for all processes
GRACE = 5.0  # seconds that a process has to stop its workers


@dataclass(frozen=True)
class Cost:
    """Seconds of a turn, and CPU seconds of the process and its workers."""

    seconds: float
    cpu_seconds: float


class Session:
    """One contender at one part of the work."""

    def __init__(self, name: str, contender: Contender, setup: Setup, part: str) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(MODULES)
        self.name = f"{name}, {part}"
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=work, args=(there, contender, setup, part))
        self.process.start()
        there.close()

    def turn(self) -> Cost:
        self.begin()
        return self.cost()

    def begin(self) -> None:
        with self.named():
            self.pipe.send(None)

    def cost(self) -> Cost:
        with self.named():
            cost: Cost = self.pipe.recv()
        return cost

    @contextmanager
    def named(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError) as fault:
            raise VitrailError(f"the process of '{self.name}' has ended before its last turn") from fault

    def close(self) -> None:
        self.pipe.close()

    def end(self) -> None:
        """Without its pipe, a process ends when its turn does; one that works on is killed, with its workers."""
        self.process.join(GRACE)
        if self.process.is_alive():
            for member in process_tree(self.process.pid or 0):
                with suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            self.process.join()


@dataclass(frozen=True)
class Group:
    """Processes that work together: a turn is one of each, all at once."""

    sessions: Sequence[Session]

    def turn(self) -> Cost:
        for session in self.sessions:
            session.begin()
        waiting, costs = {session.pipe: session for session in self.sessions}, list[Cost]()
        while waiting:  # one that has ended leaves the others waiting for it
            costs += [waiting.pop(pipe).cost() for pipe in wait(list(waiting)) if isinstance(pipe, Connection)]
        return Cost(max(one.seconds for one in costs), sum(one.cpu_seconds for one in costs))

    def close(self) -> None:
        for session in self.sessions:
            session.close()

    def end(self) -> None:
        for session in self.sessions:
            session.end()


@contextmanager
def ended(sessions: Mapping[tuple[str, str], Session | Group]) -> Iterator[None]:
    """All of them, also after an error."""
    try:
        yield
    finally:
        for session in sessions.values():  # all at once
            session.close()
        for session in sessions.values():
            session.end()


def work(pipe: Connection, contender: Contender, setup: Setup, part: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the command too, which ends this process
    with suppress(EOFError, BrokenPipeError):  # the command has ended
        contender(setup, part, turns_of(pipe, setup.plan.turns))


def turns_of(pipe: Connection, count: int) -> Turns:
    """A turn begins when the pipe says so; what it took is sent back at its end."""
    for _ in range(count):
        pipe.recv()
        begin, before = perf_counter(), used_by_all()
        yield
        seconds, after = perf_counter() - begin, used_by_all()
        pipe.send(Cost(seconds, after - before))


def used_by_all() -> float:
    """CPU seconds of this process and its workers."""
    return cpu_seconds(process_tree(os.getpid()))
