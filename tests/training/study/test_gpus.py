"""Each worker gets one of the visible GPUs, by the name in CUDA_VISIBLE_DEVICES."""

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
from vitrail.training.study.executors.pool import pool, worker_main
from vitrail.training.study.gpus import VARIABLE, names_of
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
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
        (MIGS, 1, tuple(MIGS.split(","))),  # CUDA shows a process only one of them
        (MIGS, 0, ()),
        ("", 0, ()),
        ("-1", 0, ()),
        ("2,-1,3", 1, ("2",)),  # CUDA stops there
        ("0,9,1", 1, ("0",)),
    ],
)
def test_names_are_the_gpus_visible_to_cuda(variable: str | None, count: int, names: tuple[str, ...]) -> None:
    assert names_of(variable, count) == names


class FakeProcess:
    """A worker that records its GPU and dies with its first job, a given number of times."""

    started: list["FakeProcess"]
    deaths = 0

    def __init__(self, resolved: ResolvedPlan, gpu: str | None) -> None:
        self.gpu, self.alive = gpu, True
        self.process = SimpleNamespace(is_alive=lambda: self.alive)
        type(self).started.append(self)

    def submit(self, job: Job) -> None:
        self.job = job

    def stop(self) -> None:
        self.alive = False


def wait_for_workers(busy: list[FakeProcess]) -> list[tuple[FakeProcess, FinishedRun | None]]:
    (first, *_) = busy
    if FakeProcess.deaths:
        FakeProcess.deaths -= 1
        return [(first, None)]
    return [(first, FinishedRun(first.job))]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[FakeProcess]:
    FakeProcess.started, FakeProcess.deaths = [], 0
    monkeypatch.setattr(pool_module, "WorkerProcess", FakeProcess)
    monkeypatch.setattr(pool_module, "wait_for_workers", wait_for_workers)
    return FakeProcess


@pytest.fixture
def resolved(plan_file: Path) -> ResolvedPlan:
    return resolve(parse_study([f"--config={plan_file}"]).plan, Digits())


@pytest.mark.parametrize("variable", ["2,3", UUIDS])
def test_a_study_distributes_the_visible_gpus(
    variable: str, recorded: type[FakeProcess], plan_file: Path, resolved: ResolvedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, variable)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    options = parse_study([f"--config={plan_file}", "--device=auto"])
    assert workers_of(options) == 2
    assert gpus_of(resolved.plan) == ()  # its device is the CPU
    object.__setattr__(resolved, "plan", options.plan)
    with executor(options, resolved) as workers:
        assert len(list(workers.work(JOBS))) == len(JOBS)
    assert Counter(one.gpu for one in recorded.started) == Counter(variable.split(","))


def test_workers_share_gpus_evenly_and_replacements_too(recorded: type[FakeProcess], resolved: ResolvedPlan) -> None:
    recorded.deaths = 2  # twice on the same GPU
    with pool(resolved, 4, ("7", "5")) as workers:
        assert len(list(workers.work(JOBS))) == len(JOBS)
        alive = Counter(one.gpu for one in recorded.started if one.alive)
    assert len(recorded.started) == 6
    assert alive == {"7": 2, "5": 2}


@pytest.fixture
def interrupts() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("gpu", "seen"), [("GPU-5d3f4ba6", "GPU-5d3f4ba6"), (None, "-1")])
def test_a_worker_sees_only_its_gpu_else_the_environment(
    gpu: str | None, seen: str, resolved: ResolvedPlan, monkeypatch: pytest.MonkeyPatch, interrupts: None
) -> None:
    seen_by_worker: list[str] = []

    class FakeWorker:
        def __init__(self, *_: object) -> None: ...

        def run(self, job: Job) -> FinishedRun:
            seen_by_worker.append(os.environ[VARIABLE])
            return FinishedRun(job)

    monkeypatch.setenv(VARIABLE, "-1")
    monkeypatch.setattr(worker, "Worker", FakeWorker)
    ours, theirs = Pipe()
    ours.send(JOBS[0])
    ours.close()
    worker_main(theirs, resolved, gpu, 0.0)
    assert seen_by_worker == [seen]
