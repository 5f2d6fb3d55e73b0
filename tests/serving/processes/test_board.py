"""What processes say on the board, and how they share the memory for decoding."""

import asyncio
import multiprocessing
import os
import threading
import time
from collections import Counter

import numpy as np
import pytest

from vitrail.serving.engine.fair_queue import MAX_SKIPS, FairQueue, Job
from vitrail.serving.http.caller import CALLER
from vitrail.serving.processes.board import CALLERS, FRESH, HUNG, Board


def boards(rows: int) -> list[Board]:
    """Of as many processes, here all in one."""
    hub = Board.of(rows)
    return [Board(hub.descriptor, rows + 1, number) for number in range(rows)]


def test_others_are_all_but_the_own() -> None:
    one, two, three = boards(3)
    for number, board in enumerate((one, two, three)):
        board.publish("held", 10**number)
    assert [board.others("held") for board in (one, two, three)] == [110, 101, 11]
    one.clear(1)
    assert three.others("held") == 1


def test_callers_are_known_to_others_until_they_have_nothing() -> None:
    one, two = boards(2)
    one.publish_caller("images", "192.0.2.1", 3)
    one.publish_caller("requests", "192.0.2.1", 1)
    one.publish_caller("images", "2001:db8::1", 4)
    assert two.read_callers("images") == {"192.0.2.1": 3, "2001:db8::1": 4}
    assert two.read_callers("requests") == {"192.0.2.1": 1}
    assert one.read_callers("images") == {}
    one.publish_caller("images", "192.0.2.1", 0)
    one.publish_caller("requests", "192.0.2.1", 0)
    assert two.read_callers("images") == {"2001:db8::1": 4}
    for number in range(3 * CALLERS):  # places are used again
        one.publish_caller("infer", str(number), 1)
        one.publish_caller("infer", str(number), 0)
    assert two.read_callers("infer") == Counter()
    for number in range(2 * CALLERS):
        one.publish_caller("infer", str(number), 1)
    assert two.read_callers("infer").total() == CALLERS - 1


def test_who_holds_back_a_caller_is_known_to_others() -> None:
    one, two, three = boards(3)
    one.publish_caller("held_since", "192.0.2.1", 5)
    two.publish_caller("held_since", "192.0.2.1", 7)
    assert [board.first_held("192.0.2.1") for board in (one, two, three)] == [7, 5, 5]
    assert one.first_held("192.0.2.2") > time.monotonic_ns()
    one.publish_caller("held_since", "192.0.2.1", 0)
    assert three.first_held("192.0.2.1") == 7


def test_callers_are_read_once_in_a_while() -> None:
    one, two = boards(2)
    one.publish_caller("infer", "a", 1)
    assert two.callers("infer") == {"a": 1}
    one.publish_caller("infer", "a", 2)
    time.sleep(2 * FRESH)
    assert two.callers("infer") == {"a": 2}


def count_up(descriptor: int, own: int, times: int) -> None:
    board = Board(descriptor, 3, own)
    for _ in range(times):
        with board.lock():
            seen = sum(board.columns["reserved"])
            time.sleep(0)
            board.publish("reserved", seen + 1 - board.others("reserved"))


def test_the_lock_holds_between_processes() -> None:
    hub = Board.of(2)
    os.set_inheritable(hub.descriptor, True)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=count_up, args=(hub.descriptor, own, 2000)) for own in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert hub.others("reserved") == 4000


THREADS = 4


class Usage:
    """The bytes that jobs of several queues hold, the most they ever did, and how many have started."""

    def __init__(self) -> None:
        self.now = self.most = self.started = 0
        self.lock = threading.Lock()

    def job(self, size: int, seconds: float) -> Job:
        def work() -> None:
            with self.lock:
                self.now += size
                self.most = max(self.most, self.now)
                self.started += 1
            time.sleep(seconds)
            with self.lock:
                self.now -= size

        return Job(work, size)


@pytest.mark.parametrize("queues", [2, 4])
def test_queues_of_several_processes_keep_one_budget_and_starve_nobody(queues: int) -> None:
    """Each has small jobs without end and one that needs nearly all of the memory."""

    async def scenario() -> None:
        usage = Usage()
        pools = [FairQueue("decode", THREADS, 100, siblings=board) for board in boards(queues)]
        small = [asyncio.ensure_future(pool.run_all([usage.job(10, 0.002) for _ in range(1000)])) for pool in pools]
        await asyncio.sleep(0.02)
        before = usage.started
        await asyncio.gather(*(pool.run_all([usage.job(95, 0.002)]) for pool in pools))
        assert usage.started - before < 2 * queues * (MAX_SKIPS + THREADS)
        assert not any(each.done() for each in small)
        await asyncio.gather(*small)
        assert usage.most <= 100
        assert all(pool.reserved == 0 for pool in pools)
        for pool in pools:
            pool.shutdown()

    asyncio.run(scenario())


def test_callers_share_the_cores_whichever_processes_they_are_connected_to() -> None:
    """One caller has connections to one process only, where it alternates with another that fills all four."""
    pools = 4

    async def scenario() -> tuple[Counter[str], list[float]]:
        shared = boards(pools)
        queues = [FairQueue("decode", 1, cores=2, siblings=board) for board in shared]
        present: Counter[tuple[str, int]] = Counter()
        answered: Counter[str] = Counter()
        took: list[float] = []  # seconds, of the greedy one's
        end = time.monotonic() + 3

        async def connection(caller: str, number: int) -> None:
            CALLER.set(caller)
            while time.monotonic() < end:
                begin = time.monotonic()
                present[caller, number] += 1
                shared[number].publish_caller("images", caller, present[caller, number])
                await queues[number].run(lambda: time.sleep(0.02))
                present[caller, number] -= 1
                shared[number].publish_caller("images", caller, present[caller, number])
                answered[caller] += 1
                if caller == "greedy":
                    took.append(time.monotonic() - begin)

        connections = [("greedy", number) for number in range(pools)] * 5 + [("other", 0)] * 4
        await asyncio.gather(*(asyncio.create_task(connection(*one)) for one in connections))
        for queue in queues:
            queue.shutdown()
        return answered, took

    answered, took = asyncio.run(scenario())
    assert answered["other"] >= 0.4 * answered.total()
    assert max(took) < 5 * np.median(took)  # its jobs take turns among the processes


def test_a_process_that_hangs_holds_up_nobody() -> None:
    """It seems to have two images of each caller, to hold them back for longest, and to need all memory."""

    async def scenario() -> None:
        one, hanging = boards(2)
        for name in ("greedy", "other"):
            hanging.publish_caller("images", name, 2)
            hanging.publish_caller("held_since", name, 1)
        hanging.claim(100)
        queue = FairQueue("decode", 1, 100, cores=2, siblings=one)
        CALLER.set("greedy")
        hanging.beat()
        waiting = asyncio.ensure_future(queue.run_all([Job(lambda: 7, 1)] * 5))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        hanging.publish("alive_at", time.monotonic_ns() - 2 * HUNG)
        assert await asyncio.wait_for(waiting, 5) == [7] * 5
        assert one.read_callers("images") == {}
        queue.shutdown()

    asyncio.run(scenario())


def test_a_claim_of_what_a_costly_job_holds_keeps_only_costly_jobs_waiting() -> None:
    async def scenario() -> None:
        holding, claiming, other = pools = [FairQueue("decode", 1, 100, siblings=board) for board in boards(3)]
        end = threading.Event()
        costly = asyncio.ensure_future(holding.run_all([Job(end.wait, 60, costly=True)]))
        large = asyncio.ensure_future(claiming.run_all([Job(lambda: None, 95)]))
        await asyncio.sleep(0.05)
        another = asyncio.ensure_future(other.run_all([Job(lambda: None, 10, costly=True)]))
        plain = asyncio.ensure_future(other.run_all([Job(lambda: None, 10)] * 50))
        done, _ = await asyncio.wait({plain}, timeout=5)
        await asyncio.sleep(0.05)
        waiting = not large.done() and not another.done()
        end.set()
        assert plain in done
        assert waiting
        await asyncio.wait_for(asyncio.gather(costly, large, another), 5)
        for pool in pools:
            pool.shutdown()

    asyncio.run(scenario())


def test_what_a_dead_process_had_reserved_is_free_again() -> None:
    async def scenario() -> None:
        one, two = boards(2)
        two.publish("reserved", 90)
        two.claim(50)
        pool = FairQueue("decode", 1, 100, siblings=one)
        waiting = asyncio.ensure_future(pool.run_all([Job(lambda: 7, 20)]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        one.clear(1)
        assert await asyncio.wait_for(waiting, 5) == [7]
        pool.shutdown()

    asyncio.run(scenario())
