"""The batcher alone: queue, window, batches and cancellation, with simulated time."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from vitrail.serving.engine.batcher import BUCKETS, Batcher, BatchFailed, QueueFull, best_batch_size, bucket
from vitrail.serving.http.cancellation import cancelled_with_client
from vitrail.serving.http.problems import ClientDisconnect, Problem


class MadeUpTime(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer as soon as there is nothing else to do."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        return self.now


class JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: MadeUpTime) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everybody waits, and for nothing that could come")
        self.loop.now += timeout
        return super().select(0)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=MadeUpTime) as runner:
        runner.run(scenario())


class Model:
    """Doubles numbers: each batch takes `seconds`, or until `held` is set; it records its batches and their times."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.batches: list[list[int]] = []
        self.times: list[float] = []
        self.at_work = 0

    async def __call__(self, items: list[int]) -> list[int]:
        assert not self.at_work, "one batch at a time"
        self.at_work += 1
        self.batches.append(items)
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        self.at_work -= 1
        if -1 in items:
            raise ZeroDivisionError("cannot")
        return [2 * item for item in items]


def batcher(model: Callable[[list[int]], Awaitable[list[int]]], capacity: int = 100, **options: Any) -> Batcher:
    return Batcher(model, capacity, clock=asyncio.get_running_loop().time, **options)


async def until(seconds: float) -> None:
    """Until this moment of the made-up time."""
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())


def ask(queue: Batcher, *items: int) -> asyncio.Task[list[int]]:
    return asyncio.create_task(queue.submit(items))


def test_rows_keep_their_order_across_requests():
    async def scenario():
        model = Model()
        queue = batcher(model, max_size=4)
        asked = [ask(queue, *range(start, start + count)) for start, count in [(0, 3), (10, 1), (20, 7), (30, 2)]]
        for task, (start, count) in zip(asked, [(0, 3), (10, 1), (20, 7), (30, 2)], strict=True):
            assert await task == [2 * item for item in range(start, start + count)]
        assert model.batches == [[0, 1, 2, 10], [20, 21, 22, 23], [24, 25, 26, 30], [31]]

    play(scenario)


def test_idle_batcher_computes_one_item_at_once():
    async def scenario():
        model = Model()
        queue = batcher(model, window=0.5)
        for moment in (0.0, 10.0, 20.0):
            await until(moment)
            assert await ask(queue, 1) == [2]
        assert model.times == [0.0, 10.0, 20.0]
        assert queue.worker is None

    play(scenario)


def test_items_gather_while_a_batch_runs():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.5)
        asked = [ask(queue, 0)]
        for item in (1, 2, 3):
            await until(0.1 * item)
            asked.append(ask(queue, item))
        assert await asyncio.gather(*asked) == [[0], [2], [4], [6]]
        assert model.batches == [[0], [1, 2, 3]]
        assert model.times == [0.0, 1.0]  # the first of them had waited longer than the window already

    play(scenario)


def test_first_item_waits_at_most_the_window():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.5)
        asked = [ask(queue, 0)]
        for item, moment in [(1, 0.75), (2, 1.125), (3, 1.2), (4, 1.3)]:
            await until(moment)
            asked.append(ask(queue, item))
        await asyncio.gather(*asked)
        assert model.batches == [[0], [1, 2, 3], [4]]
        assert model.times == [0.0, 1.25, 2.25]

    play(scenario)


def test_full_batch_ends_the_window():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.5, max_size=2)
        asked = [ask(queue, 0)]
        for item, moment in [(1, 0.75), (2, 1.125)]:
            await until(moment)
            asked.append(ask(queue, item))
        await asyncio.gather(*asked)
        assert model.batches == [[0], [1, 2]]
        assert model.times == [0.0, 1.125]

    play(scenario)


def test_full_batch_does_not_wait_for_the_window():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.5, max_size=2)
        first = ask(queue, 0)
        await until(0.9)
        await asyncio.gather(first, ask(queue, 1, 2))
        assert model.times == [0.0, 1.0]

    play(scenario)


def test_window_applies_again_after_a_full_batch():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.5, max_size=2)
        asked = [ask(queue, 0, 1)]
        await until(0.75)
        asked.append(ask(queue, 2))
        await asyncio.gather(*asked)
        assert model.times == [0.0, 1.25]

    play(scenario)


def test_rows_are_delivered_before_the_next_window():
    async def scenario():
        queue = batcher(Model(1.0), window=0.5)
        first = ask(queue, 0)
        await until(0.9)
        second = ask(queue, 1)
        await first
        assert asyncio.get_running_loop().time() == 1.0
        await second

    play(scenario)


def test_next_batch_starts_before_rows_are_delivered():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.0)
        first = ask(queue, 0)
        await until(0.5)
        second = ask(queue, 1)
        await first
        assert model.batches == [[0], [1]]
        await second

    play(scenario)


def test_batch_has_at_most_the_largest_bucket():
    async def scenario():
        model = Model()
        queue = batcher(model)
        await ask(queue, *range(70))
        assert [len(batch) for batch in model.batches] == [32, 32, 6]
        assert [item for batch in model.batches for item in batch] == list(range(70))

    play(scenario)


def test_full_queue_refuses_at_once_and_accepts_again_later():
    async def scenario():
        queue = batcher(Model(), capacity=3, window=0.0)
        working = ask(queue, 0)
        await until(0.5)
        waiting = ask(queue, 1, 2)
        await until(0.6)
        with pytest.raises(QueueFull, match="2 images are waiting"):
            await queue.submit([3, 4])
        assert asyncio.get_running_loop().time() == 0.6
        assert len(queue.waiting) == 2  # nothing of a refused request stays
        last = ask(queue, 5)
        assert await asyncio.gather(working, waiting, last) == [[0], [2, 4], [10]]
        assert await ask(queue, 6, 7, 8) == [12, 14, 16]

    play(scenario)


def test_cancelled_item_is_not_computed_and_frees_its_room():
    async def scenario():
        model = Model()
        queue = batcher(model, capacity=2, window=0.0)
        first = ask(queue, 0)
        await until(0.5)
        gone = ask(queue, 1, 2)
        await until(0.6)
        gone.cancel()
        await asyncio.wait({gone})
        assert not queue.waiting
        last = ask(queue, 3, 4)
        assert await asyncio.gather(first, last) == [[0], [6, 8]]
        assert model.batches == [[0], [3, 4]]

    play(scenario)


def test_cancellation_during_a_batch_affects_no_other_request():
    async def scenario():
        queue = batcher(Model())
        gone, stays = ask(queue, 1), ask(queue, 2)
        await until(0.5)
        gone.cancel()
        assert await stays == [4]
        assert gone.cancelled()
        assert await ask(queue, 3) == [6]

    play(scenario)


def test_all_requests_cancelled_during_the_window():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.5)
        first = ask(queue, 0)
        await until(0.9)
        gone = ask(queue, 1)
        await until(1.1)
        gone.cancel()
        await until(2.0)
        assert model.batches == [[0]]
        assert queue.worker is None
        assert await first == [0]
        assert await ask(queue, 2) == [4]

    play(scenario)


def test_failed_batch_fails_only_its_items():
    async def scenario():
        model = Model()
        queue = batcher(model, max_size=2, window=0.0)
        bad, mate, later = ask(queue, -1), ask(queue, 1), ask(queue, 2)
        for task in (bad, mate):
            with pytest.raises(BatchFailed, match="batch of 2: cannot") as caught:
                await task
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert await later == [4]
        assert await ask(queue, 3) == [6]

    play(scenario)


def test_failure_removes_the_rest_of_its_request_from_the_queue():
    async def scenario():
        model = Model()
        queue = batcher(model, max_size=2, window=0.0)
        bad, other = ask(queue, 0, -1, 1, 2, 3, 4, 5), ask(queue, 6)
        with pytest.raises(BatchFailed):
            await bad
        assert await other == [12]
        assert model.batches == [[0, -1], [1, 2], [6]]  # the second batch started before the error was delivered

    play(scenario)


def test_missing_rows_fail_the_batch():
    async def scenario():
        async def short(items: list[int]) -> list[int]:
            return items[1:]

        with pytest.raises(BatchFailed, match="2 items gave 1 rows"):
            await batcher(short).submit([1, 2])

    play(scenario)


def test_close_computes_waiting_items_and_refuses_new_ones():
    async def scenario():
        queue = batcher(Model(), max_size=2)
        asked = ask(queue, 1, 2, 3)
        await until(0.5)
        await queue.close()
        assert asyncio.get_running_loop().time() == 2.0
        assert asked.done()
        assert await asked == [2, 4, 6]
        with pytest.raises(QueueFull, match="closed"):
            await queue.submit([4])
        await queue.close()

    play(scenario)


def test_queue_is_empty_after_many_mixed_requests():
    async def scenario():
        model = Model(0.01)
        queue = batcher(model, capacity=40, window=0.002)
        fates: dict[str, int] = {"answered": 0, "gave up": 0, "refused": 0}

        async def caller(number: int) -> None:
            await asyncio.sleep((number * 7919 % 101) / 500)
            items = list(range(number, number + 1 + number % 9))
            try:
                async with asyncio.timeout(0.012 if number % 5 == 0 else None):
                    assert await queue.submit(items) == [2 * item for item in items]
                fates["answered"] += 1
            except TimeoutError:
                fates["gave up"] += 1
            except QueueFull:
                fates["refused"] += 1

        await asyncio.gather(*(caller(number) for number in range(300)))
        assert sum(fates.values()) == 300
        assert min(fates.values()) > 0
        await until(10)
        assert (len(queue.waiting), queue.worker) == (0, None)
        assert max(len(batch) for batch in model.batches) <= 32

    play(scenario)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, 16), (17, 32), (32, 32)])
def test_buckets(count, size):
    assert bucket(count) == size
    assert size in BUCKETS


# What a batch of each size takes on some machine, in seconds; and the largest that should be formed there.
MACHINES = {
    "a GPU": ([0.004, 0.004, 0.005, 0.007, 0.011, 0.02], 32),
    "a small network on a CPU": ([0.000068, 0.000098, 0.000168, 0.000264, 0.000416, 0.000736], 32),
    "a large network on a CPU": ([0.0255, 0.0501, 0.1003, 0.2336, 0.485, 1.05], 1),
    "out of the caches at 8": ([0.002, 0.003, 0.005, 0.011, 0.02, 0.03], 4),
    "too little gain from 16 on": ([0.002, 0.003, 0.005, 0.008, 0.0157, 0.0313], 8),
    "one busy moment": ([0.002, 0.006, 0.005, 0.008, 0.0157, 0.0313], 8),
    "slow alone": ([0.2, 0.2, 0.2, 0.2, 0.2, 0.2], 1),
    "slow in company": ([0.04, 0.06, 0.112, 0.2, 0.36, 0.64], 2),
}


@pytest.mark.parametrize(("times", "max_size"), MACHINES.values(), ids=MACHINES.keys())
def test_best_batch_size(times, max_size):
    seconds = dict(zip(BUCKETS, times, strict=True))
    assert best_batch_size(lambda size: seconds[size]) == max_size


# Deadlines and disconnects.


async def stays() -> dict[str, Any]:
    """The end of a connection that does not end."""
    await asyncio.Event().wait()
    raise AssertionError


def test_late_request_is_dropped_before_it_is_computed():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.0)
        first = ask(queue, 0)
        await until(0.25)
        with pytest.raises(Problem) as caught:
            async with cancelled_with_client(stays, 0.5):
                await queue.submit([1])
        assert asyncio.get_running_loop().time() == 0.75  # at the deadline, though the batch still runs
        assert (caught.value.status, caught.value.code) == (504, "deadline_passed")
        await first
        assert model.batches == [[0]]

    play(scenario)


def test_disconnected_request_is_dropped_before_it_is_computed():
    async def scenario():
        model = Model(1.0)
        queue = batcher(model, window=0.0)
        first = ask(queue, 0)

        async def goes() -> dict[str, Any]:
            await until(0.5)
            return {"type": "http.disconnect"}

        await until(0.25)
        with pytest.raises(ClientDisconnect):
            async with cancelled_with_client(goes, 30):
                await queue.submit([1])
        assert asyncio.get_running_loop().time() == 0.5
        await first
        assert model.batches == [[0]]

    play(scenario)


def test_timely_response_leaves_no_task_behind():
    async def scenario():
        queue = batcher(Model(1.0))
        async with cancelled_with_client(stays, 1.5):
            assert await queue.submit([1]) == [2]
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(scenario)


def test_timeout_of_the_work_is_not_the_deadline():
    async def scenario():
        with pytest.raises(TimeoutError):
            async with cancelled_with_client(stays, 5), asyncio.timeout(1):
                await asyncio.sleep(3)

    play(scenario)


def test_error_of_the_work_is_raised():
    async def scenario():
        with pytest.raises(QueueFull):
            async with cancelled_with_client(stays, 5):
                await batcher(Model(), capacity=0).submit([1])

    play(scenario)


def test_items_of_several_images_are_not_split():
    """None is divided, none waits behind one that came later, and room is counted in what they stand for."""

    async def scenario():
        batches: list[list[str]] = []

        async def model(items: list[str]) -> list[str]:
            batches.append(items)
            await asyncio.sleep(1)
            return [item.upper() for item in items]

        queue = Batcher(model, 12, max_size=4, clock=asyncio.get_running_loop().time, size=len)
        working = asyncio.create_task(queue.submit(["x"]))
        await until(0.5)
        asked = [asyncio.create_task(queue.submit(items)) for items in (["aa", "b"], ["cc"], ["dddd"], ["e"])]
        await until(0.6)
        assert queue.waiting_size == 10
        with pytest.raises(QueueFull, match="10 images are waiting"):
            await queue.submit(["fff"])
        asked[-1].cancel()
        await until(0.7)
        assert queue.waiting_size == 9
        assert await asyncio.gather(working, *asked[:-1]) == [["X"], ["AA", "B"], ["CC"], ["DDDD"]]
        assert batches == [["x"], ["aa", "b"], ["cc"], ["dddd"]]
        assert queue.waiting_size == 0

    play(scenario)
