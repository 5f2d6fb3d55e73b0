"""The tables of a study: results.csv, determined by plan and seed, and timings.csv, determined by the machine."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

from vitrail.atomic import write_atomically
from vitrail.training.study.jobs import FinishedRun, Result, Timing

KEYS = ("contender", "size", "seed", "rate")
RESULTS = (*KEYS, *(field.name for field in fields(Result)))
TIMINGS = ("what", *KEYS, *(field.name for field in fields(Timing)), "latency_milliseconds")


def write_results(path: Path, runs: Iterable[FinishedRun]) -> None:
    """One row a run, in an order that does not depend on which run ended first."""
    rows = [[*keys(done), *asdict(done.result).values()] for done in ordered(runs) if done.result]
    write_table(path, RESULTS, rows)


def write_timings(path: Path, runs: Iterable[FinishedRun], latencies: Mapping[str, float]) -> None:
    """One row a run, reported or not, and one for the exported model of each contender."""
    rows: list[list[object]] = [
        ["tries a rate" if done.job.tries else "reported", *keys(done), *asdict(done.timing).values(), None]
        for done in ordered(runs)
        if done.timing
    ]
    blank = [None] * (len(TIMINGS) - 3)
    rows += [["exported", contender, *blank, milliseconds] for contender, milliseconds in latencies.items()]
    write_table(path, TIMINGS, rows)


def ordered(runs: Iterable[FinishedRun]) -> list[FinishedRun]:
    return sorted(runs, key=lambda done: (done.job.tries, done.job.contender, done.job.size, done.job.seed,
                                          done.job.rate, done.job.steps or 0))  # fmt: skip


def keys(done: FinishedRun) -> list[object]:
    return [done.job.contender, done.job.size, done.job.seed, done.job.rate]


def write_table(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(head)
    table.writerows([cell(value) for value in row] for row in rows)
    write_atomically(path, file.getvalue().encode())


def cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
