"""How long our server takes to be ready beside a BentoML service without a model, and what it holds at rest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import sleep

from vitrail.bench.rounds import Typical, typical
from vitrail.bench.serve.calling import message, run_load, write_messages
from vitrail.bench.serve.entrants import Field, slug
from vitrail.bench.serve.family import Held, held
from vitrail.bench.serve.load import Order
from vitrail.bench.serve.servers import EMPTY, VITRAIL, Server, started

REQUESTS = 1000
AT_ONCE = 16
REST = 5.0  # seconds of idleness before memory is read

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """Seconds from the command to the first 200 of /readyz, and what is held after 1,000 requests and a rest."""

    vitrail_seconds: Typical
    empty_seconds: Typical
    more_than_empty: Typical
    at_rest: Held


def measure_start(field: Field, rounds: int, seed: int, tell: Tell) -> Start:
    seconds: dict[str, list[float]] = {VITRAIL.name: [], EMPTY.name: []}
    order, random = [VITRAIL, EMPTY], Random(seed)
    for done in range(rounds):
        tell(f"start: round {done + 1} of {rounds}")
        random.shuffle(order)
        for server in order:
            with started(server, field.model, field.peers, folder_of(server, field)) as running:
                seconds[server.name].append(running.seconds_to_ready)
    ours, theirs = seconds[VITRAIL.name], seconds[EMPTY.name]
    tell("memory at rest")
    return Start(
        vitrail_seconds=typical(ours),
        empty_seconds=typical(theirs),
        more_than_empty=typical(our - their for our, their in zip(ours, theirs, strict=True)),
        at_rest=measure_rest(field),
    )


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
