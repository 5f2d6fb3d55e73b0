"""The tables of a study: results.csv, which plan and seed determine, and timings.csv, which the machine does."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

from vitrail.atomic import write_atomically
from vitrail.training.study.jobs import Done, Result, Timing

KEYS = ("contender", "size", "seed", "rate")
RESULTS = (*KEYS, *(field.name for field in fields(Result)))
TIMINGS = ("what", *KEYS, *(field.name for field in fields(Timing)), "latency_milliseconds")


def write_results(path: Path, runs: Iterable[Done]) -> None:
    """One row a run, in an order that does not depend on who was ready first."""
    rows = [[*keys(done), *asdict(done.result).values()] for done in ordered(runs) if done.result]
    write_table(path, RESULTS, rows)


def write_timings(path: Path, runs: Iterable[Done], latencies: Mapping[str, float]) -> None:
    """One row a run, reported or not, and one a contender for its exported model."""
    rows: list[list[object]] = [
        ["tries a rate" if done.job.tries else "reported", *keys(done), *asdict(done.timing).values(), None]
        for done in ordered(runs)
        if done.timing
    ]
    blank = [None] * (len(TIMINGS) - 3)
    rows += [["exported", contender, *blank, milliseconds] for contender, milliseconds in latencies.items()]
    write_table(path, TIMINGS, rows)


def ordered(runs: Iterable[Done]) -> list[Done]:
    return sorted(runs, key=lambda done: (done.job.tries, done.job.contender, done.job.size, done.job.seed,
                                          done.job.rate))  # fmt: skip


def keys(done: Done) -> list[object]:
    return [done.job.contender, done.job.size, done.job.seed, done.job.rate]


def write_table(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(head)
    table.writerows([written(value) for value in row] for row in rows)
    write_atomically(path, file.getvalue().encode())


def written(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
