"""The speed of executors in alternating rounds; figures are printed, for docs/benchmarks.md."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median
from time import perf_counter

import pytest

from vitrail.data import Digits
from vitrail.training.study.executors import Workers
from vitrail.training.study.executors.on_ray import on_ray
from vitrail.training.study.executors.pool import pool
from vitrail.training.study.jobs import Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import resolve

ROUNDS = 3
RATE = 0.002


def seconds_of(executor: Callable[[], AbstractContextManager[Workers]], jobs: list[Job]) -> tuple[float, float]:
    """Seconds of all jobs after a warm-up, and the sum of the workers' own times."""
    with executor() as workers:
        list(workers.work([Job("CNN", 60, 90 + number, RATE) for number in range(2 * workers.size)]))
        begin = perf_counter()
        done = list(workers.work(jobs))
        taken = perf_counter() - begin
    assert not [one.fault for one in done if one.fault]
    return taken, sum(one.timing.seconds for one in done if one.timing)


@pytest.mark.long
def test_two_workers_against_one_and_ray_against_the_pool(two_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = parse_study(["--config=digits", "--steps=120", "--rate_factors=[1.0]"]).plan
    resolved = resolve(plan, Digits())
    jobs = [Job(name, 294, seed, RATE) for seed in range(4) for name in ("ViT", "CNN")]
    turns: dict[str, Callable[[], AbstractContextManager[Workers]]] = {
        "one": lambda: pool(resolved, 1),
        "two": lambda: pool(resolved, 2),
        "ray": lambda: on_ray(resolved, two_nodes, 2, 1.0),
    }
    taken = [{name: seconds_of(turn, jobs) for name, turn in turns.items()} for _ in range(ROUNDS)]
    faster = [each["one"][0] / each["two"][0] for each in taken]
    on_cluster = [each["two"][0] / each["ray"][0] for each in taken]
    overhead = [each["one"][0] / each["one"][1] - 1 for each in taken]
    with capsys.disabled():
        for name, seconds in (("two/one", faster), ("ray/two", on_cluster), ("overhead", overhead)):
            print(
                f"\n{name}: {median(seconds):.3f}, rounds {', '.join(f'{one:.3f}' for one in sorted(seconds))}", end=""
            )
    assert median(faster) >= 1.6
    assert median(on_cluster) >= 0.95
    assert median(overhead) <= 0.03
