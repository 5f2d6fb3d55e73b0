"""How long our server takes to be ready, at first and after `kill -9` of its worker, and what it holds at rest."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter, sleep

from vitrail.bench.core.rounds import Typical, typical
from vitrail.bench.serve.calling import message, run_load, write_messages
from vitrail.bench.serve.entrants import Field, slug
from vitrail.bench.serve.family import Held, held
from vitrail.bench.serve.load import Order
from vitrail.bench.serve.servers import EMPTY, VITRAIL, Running, Server, started, wait_until_ready

REQUESTS = 1000
AT_ONCE = 16
REST = 5.0  # seconds of idleness before memory is read

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """Seconds from the command, or from `kill -9` of the worker, to the first 200 of /readyz; the ratio of these two
    is taken of one and the same server. And what is held after 1,000 requests and a rest."""

    vitrail_seconds: Typical
    empty_seconds: Typical
    more_than_empty: Typical
    restart_seconds: Typical
    restart_over_start: Typical
    at_rest: Held


def measure_start(field: Field, rounds: int, seed: int, tell: Tell) -> Start:
    seconds: dict[str, list[float]] = {VITRAIL.name: [], EMPTY.name: []}
    restarts: list[float] = []
    order, random = [VITRAIL, EMPTY], Random(seed)
    for done in range(rounds):
        tell(f"start: round {done + 1} of {rounds}")
        random.shuffle(order)
        for server in order:
            with started(server, field.model, field.peers, folder_of(server, field)) as running:
                seconds[server.name].append(running.seconds_to_ready)
                if server is VITRAIL:
                    restarts.append(seconds_to_be_ready_again(running))
    ours, theirs = seconds[VITRAIL.name], seconds[EMPTY.name]
    tell("memory at rest")
    return Start(
        vitrail_seconds=typical(ours),
        empty_seconds=typical(theirs),
        more_than_empty=typical(our - their for our, their in zip(ours, theirs, strict=True)),
        restart_seconds=typical(restarts),
        restart_over_start=typical(again / cold for again, cold in zip(restarts, ours, strict=True)),
        at_rest=measure_rest(field),
    )


def seconds_to_be_ready_again(running: Running) -> float:
    """From the worker's violent end until another one is ready."""
    (worker,) = running.processes()[1:]
    begin = perf_counter()
    os.kill(worker, signal.SIGKILL)
    while worker in running.processes():
        sleep(0.005)
    wait_until_ready(running)
    return perf_counter() - begin


def measure_rest(field: Field) -> Held:
    with started(VITRAIL, field.model, field.peers, folder_of(VITRAIL, field)) as running:
        requests = [message(VITRAIL.path, *VITRAIL.request(upload)) for upload in field.uploads]
        messages = write_messages(requests, field.folder / "at-rest")
        order = Order(running.port, messages, running.processes(), AT_ONCE, seconds=1.0)
        answered = 0
        while answered < REQUESTS:
            answered += len(run_load(order).samples)
        sleep(REST)
        return held(running.leader)


def folder_of(server: Server, field: Field) -> Path:
    return field.folder / f"start-{slug(server.name)}"
