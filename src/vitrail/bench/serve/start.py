"""How long our server takes to be ready, at first and after `kill -9` of its worker, and its resources at rest."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter, sleep

from vitrail.bench.core.report import Progress
from vitrail.bench.core.rounds import MedianInterval, median_interval
from vitrail.bench.serve.client import message, run_load, write_messages
from vitrail.bench.serve.contenders import Setup, slug
from vitrail.bench.serve.load import LoadSpec
from vitrail.bench.serve.processes import ResourceUsage, resource_usage
from vitrail.bench.serve.servers import EMPTY, VITRAIL, Running, Server, started, wait_until_ready

REQUESTS = 1000
CLIENTS = 16
REST = 5.0  # seconds of idleness before memory is read


@dataclass(frozen=True)
class Start:
    """Seconds from the command, or from `kill -9` of the worker, to the first 200 of /readyz; the ratio of these two
    is taken of the same server. And the resources in use after 1,000 requests and a rest."""

    vitrail_seconds: MedianInterval
    empty_seconds: MedianInterval
    extra_seconds: MedianInterval
    restart_seconds: MedianInterval
    restart_ratio: MedianInterval
    at_rest: ResourceUsage


def measure_start(setup: Setup, rounds: int, seed: int, progress: Progress) -> Start:
    seconds: dict[str, list[float]] = {VITRAIL.name: [], EMPTY.name: []}
    restarts: list[float] = []
    order, random = [VITRAIL, EMPTY], Random(seed)
    for done in range(rounds):
        progress(f"start: round {done + 1} of {rounds}")
        random.shuffle(order)
        for server in order:
            with started(server, setup.model, setup.peers, folder_of(server, setup)) as running:
                seconds[server.name].append(running.seconds_to_ready)
                if server is VITRAIL:
                    restarts.append(seconds_to_restart(running))
    ours, theirs = seconds[VITRAIL.name], seconds[EMPTY.name]
    progress("memory at rest")
    return Start(
        vitrail_seconds=median_interval(ours),
        empty_seconds=median_interval(theirs),
        extra_seconds=median_interval(our - their for our, their in zip(ours, theirs, strict=True)),
        restart_seconds=median_interval(restarts),
        restart_ratio=median_interval(again / cold for again, cold in zip(restarts, ours, strict=True)),
        at_rest=measure_rest(setup),
    )


def seconds_to_restart(running: Running) -> float:
    """From `kill -9` of the worker until another one is ready."""
    (worker,) = running.processes()[1:]
    begin = perf_counter()
    os.kill(worker, signal.SIGKILL)
    while worker in running.processes():
        sleep(0.005)
    wait_until_ready(running)
    return perf_counter() - begin


def measure_rest(setup: Setup) -> ResourceUsage:
    with started(VITRAIL, setup.model, setup.peers, folder_of(VITRAIL, setup)) as running:
        requests = [message(VITRAIL.path, *VITRAIL.request(upload)) for upload in setup.uploads]
        messages = write_messages(requests, setup.folder / "at-rest")
        spec = LoadSpec(running.port, messages, running.processes(), CLIENTS, seconds=1.0)
        sent = 0
        while sent < REQUESTS:
            sent += len(run_load(spec).samples)
        sleep(REST)
        return resource_usage(running.pid)


def folder_of(server: Server, setup: Setup) -> Path:
    return setup.folder / f"start-{slug(server.name)}"
