"""Fairness between requests, within limits of threads and bytes; the order of work is controlled by the test."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from vitrail.serving.engine.fair_queue import MAX_SKIPS, SLICE, FairQueue, Job, TimeSlices


class Work:
    """Jobs that end when the test sets their gate; records their order and the most bytes reserved at once."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.gates: dict[str, threading.Event] = {}
        self.began: list[str] = []
        self.most = 0

    def job(self, name: str, size: int = 0, costly: bool = False) -> Job:
        self.gates[name] = threading.Event()
        return Job(partial(self.work, name), size, costly)

    def work(self, name: str) -> str:
        self.began.append(name)
        self.most = max(self.most, self.queue.reserved)
        assert self.gates[name].wait(20)
        return name

    def call(self, *jobs: Job) -> asyncio.Task[list[str]]:
        return asyncio.ensure_future(self.queue.run_all(jobs))

    async def until(self, *began: str) -> None:
        async with asyncio.timeout(20):
            while len(self.began) < len(began):
                await asyncio.sleep(0.001)
        assert self.began == list(began)

    async def end(self, *names: str) -> None:
        """End these jobs one after another, each once it has begun."""
        for name in names:
            async with asyncio.timeout(20):
                while name not in self.began:
                    await asyncio.sleep(0.001)
            before = len(self.queue.running), len(self.began)
            self.gates[name].set()
            async with asyncio.timeout(20):
                while (len(self.queue.running), len(self.began)) == before:
                    await asyncio.sleep(0.001)


def run(scenario: Callable[[Work], Coroutine[Any, Any, None]], threads: int = 1, budget: int = 100) -> Work:
    async def whole() -> Work:
        work = Work(FairQueue("decode", threads, budget, costly_threads=threads))
        try:
            await scenario(work)
        finally:
            for gate in work.gates.values():
                gate.set()
            work.queue.shutdown()
        return work

    return asyncio.run(whole())


def test_requests_take_turns() -> None:
    """One request has four jobs, later ones have one and two: those wait for one job before them, not for four."""

    async def scenario(work: Work) -> None:
        many = work.call(*(work.job(f"a{i}") for i in range(4)))
        await work.until("a0")
        others = [work.call(work.job("b0")), work.call(work.job("c0"), work.job("c1"))]
        await asyncio.sleep(0)
        await work.end("a0", "a1", "b0", "c0", "a2", "c1", "a3")
        assert [await many, *(await asyncio.gather(*others))] == [["a0", "a1", "a2", "a3"], ["b0"], ["c0", "c1"]]

    assert run(scenario).began == ["a0", "a1", "b0", "c0", "a2", "c1", "a3"]


def test_running_jobs_stay_within_the_budget() -> None:
    async def scenario(work: Work) -> None:
        calls = [work.call(*(work.job(f"{client}{i}", 40) for i in range(5))) for client in "abc"]
        for gate in work.gates.values():
            gate.set()
        assert [len(results) for results in await asyncio.gather(*calls)] == [5, 5, 5]
        assert (work.queue.reserved, work.queue.running) == (0, [])

    assert run(scenario, threads=4).most == 80  # two at a time, though four threads were free


def test_job_without_room_is_overtaken() -> None:
    async def scenario(work: Work) -> None:
        first = work.call(work.job("large", 90))
        await work.until("large")
        waiting = work.call(work.job("larger", 95))
        small = work.call(work.job("small", 5))
        await work.until("large", "small")
        await work.end("small")
        assert await small == ["small"]
        await work.end("large", "larger")
        assert (await first, await waiting) == (["large"], ["larger"])

    run(scenario, threads=2)


@pytest.mark.parametrize("costly", [False, True])
def test_large_job_is_overtaken_at_most_max_skips_times(costly: bool) -> None:
    """An endless stream of small jobs, two at a time, would take the room that the large one needs."""

    async def scenario(work: Work) -> None:
        endless = [work.call(*(work.job(f"{client}{i}", 40, costly) for i in range(2 * MAX_SKIPS))) for client in "ab"]
        await work.until("a0", "a1")
        large = work.call(work.job("large", 100, costly))
        await asyncio.sleep(0)
        for name, gate in work.gates.items():
            if name != "large":
                gate.set()
        async with asyncio.timeout(20):
            while "large" not in work.began:
                await asyncio.sleep(0.001)
        assert len(work.queue.running) == 1
        assert work.began.index("large") <= 2 + MAX_SKIPS + 2
        work.gates["large"].set()
        assert await large == ["large"]
        await asyncio.gather(*endless)

    run(scenario, threads=2)


def test_costly_jobs_do_not_delay_others() -> None:
    """All threads for costly jobs are busy, and more costly jobs wait for threads and for room."""

    async def scenario(work: Work) -> None:
        costly = [work.call(*(work.job(f"{client}{i}", 45, costly=True) for i in range(2))) for client in "abc"]
        await work.until("a0", "a1")
        for i in range(3 * MAX_SKIPS):
            quick = work.call(work.job(f"q{i}", 10))
            work.gates[f"q{i}"].set()
            assert await quick == [f"q{i}"]
        large = work.call(work.job("large", 100, costly=True))
        await work.end("a0", "a1", "b0", "c0", "b1", "c1", "large")
        assert await large == ["large"]
        assert [len(results) for results in await asyncio.gather(*costly)] == [2, 2, 2]

    run(scenario, threads=2)


def test_cancellation_drops_waiting_jobs_and_running_ones_free_their_bytes_at_the_end() -> None:
    async def scenario(work: Work) -> None:
        leaving = work.call(work.job("a0", 60), work.job("a1", 60))
        staying = work.call(work.job("b0", 60))
        await work.until("a0")
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert work.queue.reserved == 60  # the thread still holds it
        await work.end("a0", "b0")
        assert await staying == ["b0"]
        assert work.queue.reserved == 0

    assert run(scenario, threads=2).began == ["a0", "b0"]


def test_cancellation_of_a_blocking_request_starts_others() -> None:
    async def scenario(work: Work) -> None:
        held = work.call(work.job("held", 50))
        await work.until("held")
        large = work.call(work.job("large", 100))
        await asyncio.sleep(0)
        work.queue.requests[0].skips = MAX_SKIPS
        small = work.call(work.job("small", 10))
        await asyncio.sleep(0.01)
        assert work.began == ["held"]
        large.cancel()
        await work.until("held", "small")
        await work.end("small", "held")
        assert [await held, await small] == [["held"], ["small"]]

    run(scenario, threads=2)


def test_failed_job_fails_only_its_request() -> None:
    def fail() -> str:
        raise ValueError("broken")

    async def scenario(work: Work) -> None:
        failing = work.call(Job(fail, 50), work.job("a1", 50))
        other = work.call(work.job("b0", 50))
        with pytest.raises(ValueError, match="broken"):
            await failing
        work.gates["a1"].set()  # it may have begun before the failure is known
        work.gates["b0"].set()
        assert await other == ["b0"]

    run(scenario)


def test_request_without_jobs_returns_at_once() -> None:
    async def scenario(work: Work) -> None:
        assert await work.queue.run_all([]) == []
        assert not work.queue.requests

    run(scenario)


def test_time_slices_yield_to_the_event_loop() -> None:
    """Two requests with ten pieces each, in turn; another task runs after each piece."""

    async def scenario() -> list[str]:
        slices, order = TimeSlices(), list[str]()

        def piece(name: str) -> None:
            order.append(name)
            time.sleep(2 * SLICE)

        async def client(name: str) -> None:
            for _ in range(10):
                await slices.run(partial(piece, name))

        async def other_task() -> None:
            while len(order) < 40:
                order.append("-")
                await asyncio.sleep(0)

        await asyncio.gather(client("a"), client("b"), other_task())
        return order

    order = "".join(asyncio.run(scenario()))
    assert "aa" not in order.replace("-", "")[:18]
    assert not re.search("[ab]{2}", order[:20])
