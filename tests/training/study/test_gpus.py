"""Each worker gets one of the GPUs that the user has made visible, by the name that the user gave it."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vitrail.data import Digits
from vitrail.training.study import worker
from vitrail.training.study.executors import pool as pool_module
from vitrail.training.study.executors.pool import live, pool
from vitrail.training.study.gpus import VARIABLE, names_of
from vitrail.training.study.jobs import Done, Job
from vitrail.training.study.parsing import read_words
from vitrail.training.study.resolved_plan import ResolvedPlan, settle
from vitrail.training.study.study import executor, gpus_of, workers_of

UUIDS = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,GPU-5d3f4ba6"
MIGS = "MIG-a1b2,MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/1/0"
JOBS = [Job("ViT", size, 0, 0.1) for size in range(6)]


@pytest.mark.parametrize(
    ("variable", "count", "names"),
    [
        (None, 0, ()),
        (None, 3, ("0", "1", "2")),
        ("2,3", 2, ("2", "3")),
        (" 3 , 1 ", 2, ("3", "1")),
        (UUIDS, 2, tuple(UUIDS.split(","))),
        (MIGS, 1, tuple(MIGS.split(","))),  # CUDA shows one process one of them
        (MIGS, 0, ()),
        ("", 0, ()),
        ("-1", 0, ()),
        ("2,-1,3", 1, ("2",)),  # CUDA reads no further
        ("0,9,1", 1, ("0",)),
    ],
)
def test_names_are_those_that_cuda_sees(variable: str | None, count: int, names: tuple[str, ...]) -> None:
    assert names_of(variable, count) == names


class Recorded:
    """A worker that notes its GPU and dies over the first job that it takes, as often as told."""

    hired: list["Recorded"]
    deaths = 0

    def __init__(self, settled: ResolvedPlan, gpu: str | None) -> None:
        self.gpu, self.alive = gpu, True
        self.process = SimpleNamespace(is_alive=lambda: self.alive)
        type(self).hired.append(self)

    def take(self, job: Job) -> None:
        self.job = job

    def dismiss(self) -> None:
        self.alive = False


def ready(busy: list[Recorded]) -> list[tuple[Recorded, Done | None]]:
    (first, *_) = busy
    if Recorded.deaths:
        Recorded.deaths -= 1
        return [(first, None)]
    return [(first, Done(first.job))]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    Recorded.hired, Recorded.deaths = [], 0
    monkeypatch.setattr(pool_module, "Process", Recorded)
    monkeypatch.setattr(pool_module, "ready", ready)
    return Recorded


@pytest.fixture
def settled(plan_file: Path) -> ResolvedPlan:
    return settle(read_words([f"--config={plan_file}"]).plan, Digits())


@pytest.mark.parametrize("variable", ["2,3", UUIDS])
def test_a_study_hands_out_the_gpus_of_its_user(
    variable: str, recorded: type[Recorded], plan_file: Path, settled: ResolvedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, variable)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    asked = read_words([f"--config={plan_file}", "--device=auto"])
    assert workers_of(asked) == 2
    assert gpus_of(settled.plan) == ()  # its device is the CPU
    object.__setattr__(settled, "plan", asked.plan)
    with executor(asked, settled) as workers:
        assert len(list(workers.work(JOBS))) == len(JOBS)
    assert Counter(one.gpu for one in recorded.hired) == Counter(variable.split(","))


def test_workers_share_gpus_evenly_and_a_new_one_takes_the_place_of_the_dead(
    recorded: type[Recorded], settled: ResolvedPlan
) -> None:
    recorded.deaths = 2  # the same place, twice
    with pool(settled, 4, ("7", "5")) as workers:
        assert len(list(workers.work(JOBS))) == len(JOBS)
        alive = Counter(one.gpu for one in recorded.hired if one.alive)
    assert len(recorded.hired) == 6
    assert alive == {"7": 2, "5": 2}


@pytest.fixture
def interrupts() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("gpu", "seen"), [("GPU-5d3f4ba6", "GPU-5d3f4ba6"), (None, "-1")])
def test_a_worker_sees_its_gpu_alone_and_without_one_what_its_user_said(
    gpu: str | None, seen: str, settled: ResolvedPlan, monkeypatch: pytest.MonkeyPatch, interrupts: None
) -> None:
    found: list[str] = []

    class Looking:
        def __init__(self, *_: object) -> None: ...

        def run(self, job: Job) -> Done:
            found.append(os.environ[VARIABLE])
            return Done(job)

    monkeypatch.setenv(VARIABLE, "-1")
    monkeypatch.setattr(worker, "Worker", Looking)
    ours, theirs = Pipe()
    ours.send(JOBS[0])
    ours.close()
    live(theirs, settled, gpu, 0.0)
    assert found == [seen]
