"""The batcher alone: queue, window, batches and cancellation, in simulated time."""

import asyncio

import pytest

from vitrail.runtime.bound import BUCKETS
from vitrail.serving.engine.batcher import Batcher, BatchFailed, QueueFull, best_batch_size

from ..simulated import Doubler, batcher, simulate, submit, until


def test_rows_keep_their_order_across_requests() -> None:
    async def scenario() -> None:
        model = Doubler()
        queue = batcher(model, max_size=4)
        tasks = [submit(queue, *range(start, start + count)) for start, count in [(0, 3), (10, 1), (20, 7), (30, 2)]]
        for task, (start, count) in zip(tasks, [(0, 3), (10, 1), (20, 7), (30, 2)], strict=True):
            assert await task == [2 * item for item in range(start, start + count)]
        assert model.batches == [[0, 1, 2, 10], [20, 21, 22, 23], [24, 25, 26, 30], [31]]

    simulate(scenario)


def test_idle_batcher_computes_one_item_at_once() -> None:
    async def scenario() -> None:
        model = Doubler()
        queue = batcher(model, window=0.5)
        for moment in (0.0, 10.0, 20.0):
            await until(moment)
            assert await submit(queue, 1) == [2]
        assert model.times == [0.0, 10.0, 20.0]
        assert queue.worker is None

    simulate(scenario)


def test_items_gather_while_a_batch_runs() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.5)
        tasks = [submit(queue, 0)]
        for item in (1, 2, 3):
            await until(0.1 * item)
            tasks.append(submit(queue, item))
        assert await asyncio.gather(*tasks) == [[0], [2], [4], [6]]
        assert model.batches == [[0], [1, 2, 3]]
        assert model.times == [0.0, 1.0]  # the first of them has waited longer than the window

    simulate(scenario)


def test_first_item_waits_at_most_the_window() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.5)
        tasks = [submit(queue, 0)]
        for item, moment in [(1, 0.75), (2, 1.125), (3, 1.2), (4, 1.3)]:
            await until(moment)
            tasks.append(submit(queue, item))
        await asyncio.gather(*tasks)
        assert model.batches == [[0], [1, 2, 3], [4]]
        assert model.times == [0.0, 1.25, 2.25]

    simulate(scenario)


def test_full_batch_ends_the_window() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.5, max_size=2)
        tasks = [submit(queue, 0)]
        for item, moment in [(1, 0.75), (2, 1.125)]:
            await until(moment)
            tasks.append(submit(queue, item))
        await asyncio.gather(*tasks)
        assert model.batches == [[0], [1, 2]]
        assert model.times == [0.0, 1.125]

    simulate(scenario)


def test_full_batch_does_not_wait_for_the_window() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.5, max_size=2)
        first = submit(queue, 0)
        await until(0.9)
        await asyncio.gather(first, submit(queue, 1, 2))
        assert model.times == [0.0, 1.0]

    simulate(scenario)


def test_window_applies_again_after_a_full_batch() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.5, max_size=2)
        tasks = [submit(queue, 0, 1)]
        await until(0.75)
        tasks.append(submit(queue, 2))
        await asyncio.gather(*tasks)
        assert model.times == [0.0, 1.25]

    simulate(scenario)


def test_rows_are_delivered_before_the_next_window() -> None:
    async def scenario() -> None:
        queue = batcher(Doubler(1.0), window=0.5)
        first = submit(queue, 0)
        await until(0.9)
        second = submit(queue, 1)
        await first
        assert asyncio.get_running_loop().time() == 1.0
        await second

    simulate(scenario)


def test_next_batch_starts_before_rows_are_delivered() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.0)
        first = submit(queue, 0)
        await until(0.5)
        second = submit(queue, 1)
        await first
        assert model.batches == [[0], [1]]
        await second

    simulate(scenario)


def test_batch_has_at_most_the_largest_bucket() -> None:
    async def scenario() -> None:
        model = Doubler()
        queue = batcher(model)
        await submit(queue, *range(70))
        assert [len(batch) for batch in model.batches] == [32, 32, 6]
        assert [item for batch in model.batches for item in batch] == list(range(70))

    simulate(scenario)


def test_full_queue_refuses_at_once_and_accepts_again_later() -> None:
    async def scenario() -> None:
        queue = batcher(Doubler(), capacity=3, window=0.0)
        working = submit(queue, 0)
        await until(0.5)
        waiting = submit(queue, 1, 2)
        await until(0.6)
        with pytest.raises(QueueFull, match="2 images are waiting"):
            await queue.submit([3, 4])
        assert asyncio.get_running_loop().time() == 0.6
        assert len(queue.waiting) == 2  # a refused request leaves nothing behind
        last = submit(queue, 5)
        assert [*await asyncio.gather(working, waiting, last)] == [[0], [2, 4], [10]]
        assert await submit(queue, 6, 7, 8) == [12, 14, 16]

    simulate(scenario)


def test_cancelled_item_is_not_computed_and_frees_its_room() -> None:
    async def scenario() -> None:
        model = Doubler()
        queue = batcher(model, capacity=2, window=0.0)
        first = submit(queue, 0)
        await until(0.5)
        leaving = submit(queue, 1, 2)
        await until(0.6)
        leaving.cancel()
        await asyncio.wait({leaving})
        assert not queue.waiting
        last = submit(queue, 3, 4)
        assert [*await asyncio.gather(first, last)] == [[0], [6, 8]]
        assert model.batches == [[0], [3, 4]]

    simulate(scenario)


def test_cancellation_during_a_batch_affects_no_other_request() -> None:
    async def scenario() -> None:
        queue = batcher(Doubler())
        leaving, other = submit(queue, 1), submit(queue, 2)
        await until(0.5)
        leaving.cancel()
        assert await other == [4]
        assert leaving.cancelled()
        assert await submit(queue, 3) == [6]

    simulate(scenario)


def test_all_requests_cancelled_during_the_window() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.5)
        first = submit(queue, 0)
        await until(0.9)
        leaving = submit(queue, 1)
        await until(1.1)
        leaving.cancel()
        await until(2.0)
        assert model.batches == [[0]]
        assert queue.worker is None
        assert await first == [0]
        assert await submit(queue, 2) == [4]

    simulate(scenario)


def test_failed_batch_fails_only_its_items() -> None:
    async def scenario() -> None:
        model = Doubler()
        queue = batcher(model, max_size=2, window=0.0)
        bad, mate, later = submit(queue, -1), submit(queue, 1), submit(queue, 2)
        for task in (bad, mate):
            with pytest.raises(BatchFailed, match="batch of 2: cannot") as caught:
                await task
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert await later == [4]
        assert await submit(queue, 3) == [6]

    simulate(scenario)


def test_failure_removes_the_rest_of_its_request_from_the_queue() -> None:
    async def scenario() -> None:
        model = Doubler()
        queue = batcher(model, max_size=2, window=0.0)
        bad, other = submit(queue, 0, -1, 1, 2, 3, 4, 5), submit(queue, 6)
        with pytest.raises(BatchFailed):
            await bad
        assert await other == [12]
        assert model.batches == [[0, -1], [1, 2], [6]]  # the second batch started before the error was delivered

    simulate(scenario)


def test_an_item_that_alone_fails_spares_the_others() -> None:
    async def scenario() -> None:
        async def all_but_one(items: list[int]) -> list[int | BatchFailed]:
            return [BatchFailed("cannot") if item == -1 else 2 * item for item in items]

        queue: Batcher[int, int] = Batcher(all_but_one, 10)
        good, bad, mate = submit(queue, 1), submit(queue, -1), submit(queue, 2)
        with pytest.raises(BatchFailed, match="cannot"):
            await bad
        assert (await good, await mate) == ([2], [4])

    simulate(scenario)


def test_an_item_larger_than_a_lowered_maximum_is_a_batch_of_its_own() -> None:
    async def scenario() -> None:
        async def sums(items: list[list[int]]) -> list[int]:
            batches.append(items)
            await asyncio.sleep(1.0)
            return [sum(item) for item in items]

        batches: list[list[list[int]]] = []
        queue: Batcher[list[int], int] = Batcher(sums, 100, 0.0, 4, asyncio.get_running_loop().time, len)
        tasks = [asyncio.create_task(queue.submit([item])) for item in ([1], [1, 2, 3, 4], [5], [6])]
        await until(0.5)
        queue.max_size = 2
        assert await asyncio.gather(*tasks) == [[1], [10], [5], [6]]
        assert batches == [[[1]], [[1, 2, 3, 4]], [[5], [6]]]

    simulate(scenario)


def test_a_full_batch_starts_beside_one_that_runs() -> None:
    async def scenario() -> None:
        model = Doubler(1.0, at_once=2)
        queue = batcher(model, max_size=2, window=0.25)
        queue.at_once = 2
        tasks = [submit(queue, 0)]
        for item, moment in [(1, 0.25), (2, 0.5), (3, 0.6), (4, 0.7), (5, 0.8)]:
            await until(moment)
            tasks.append(submit(queue, item))
        assert await asyncio.gather(*tasks) == [[0], [2], [4], [6], [8], [10]]
        assert model.batches == [[0], [1, 2], [3, 4], [5]]
        assert model.times == [0.0, 0.5, 1.0, 2.0]  # the last is not full: it waits for those before it

    simulate(scenario)


def test_rows_of_a_batch_that_ends_first_are_delivered_first() -> None:
    async def scenario() -> None:
        async def slow_first(items: list[int]) -> list[int]:
            await asyncio.sleep(3.0 if 0 in items else 1.0)
            return [2 * item for item in items]

        queue = batcher(slow_first, max_size=2, window=0.0)
        queue.at_once = 2
        slow = submit(queue, 0)
        await until(0.5)
        quick = submit(queue, 1, 2)
        await quick
        assert asyncio.get_running_loop().time() == 1.5
        assert await slow == [0]
        assert asyncio.get_running_loop().time() == 3.0
        assert queue.worker is None

    simulate(scenario)


def test_missing_rows_fail_the_batch() -> None:
    async def scenario() -> None:
        async def short(items: list[int]) -> list[int]:
            return items[1:]

        with pytest.raises(BatchFailed, match="2 items gave 1 rows"):
            await batcher(short).submit([1, 2])

    simulate(scenario)


def test_close_computes_waiting_items_and_refuses_new_ones() -> None:
    async def scenario() -> None:
        queue = batcher(Doubler(), max_size=2)
        task = submit(queue, 1, 2, 3)
        await until(0.5)
        await queue.close()
        assert asyncio.get_running_loop().time() == 2.0
        assert task.done()
        assert await task == [2, 4, 6]
        with pytest.raises(QueueFull, match="closed"):
            await queue.submit([4])
        await queue.close()

    simulate(scenario)


def test_queue_is_empty_after_many_mixed_requests() -> None:
    async def scenario() -> None:
        model = Doubler(0.01)
        queue = batcher(model, capacity=40, window=0.002)
        fates: dict[str, int] = {"completed": 0, "timed out": 0, "refused": 0}

        async def client(number: int) -> None:
            await asyncio.sleep((number * 7919 % 101) / 500)
            items = list(range(number, number + 1 + number % 9))
            try:
                async with asyncio.timeout(0.012 if number % 5 == 0 else None):
                    assert await queue.submit(items) == [2 * item for item in items]
                fates["completed"] += 1
            except TimeoutError:
                fates["timed out"] += 1
            except QueueFull:
                fates["refused"] += 1

        await asyncio.gather(*(client(number) for number in range(300)))
        assert sum(fates.values()) == 300
        assert min(fates.values()) > 0
        await until(10)
        assert (len(queue.waiting), queue.worker) == (0, None)
        assert max(len(batch) for batch in model.batches) <= 32

    simulate(scenario)


# What a batch of each size takes on some machine, in seconds; and the largest that should be formed there.
MACHINES = {
    "a GPU": ([0.004, 0.004, 0.005, 0.007, 0.011, 0.02], 32),
    "a small network on a CPU": ([0.000068, 0.000098, 0.000168, 0.000264, 0.000416, 0.000736], 32),
    "a large network on a CPU": ([0.0255, 0.0501, 0.1003, 0.2336, 0.485, 1.05], 1),
    "out of the caches at 8": ([0.002, 0.003, 0.005, 0.011, 0.02, 0.03], 4),
    "too little gain from 16 on": ([0.002, 0.003, 0.005, 0.008, 0.0157, 0.0313], 8),
    "one busy moment": ([0.002, 0.006, 0.005, 0.008, 0.0157, 0.0313], 8),
    "slow alone": ([0.2, 0.2, 0.2, 0.2, 0.2, 0.2], 1),
    "slow in batches": ([0.04, 0.06, 0.112, 0.2, 0.36, 0.64], 2),
}


@pytest.mark.parametrize(("times", "max_size"), MACHINES.values(), ids=MACHINES.keys())
def test_best_batch_size(times: list[float], max_size: int) -> None:
    seconds = dict(zip(BUCKETS, times, strict=True))
    assert best_batch_size(lambda size: seconds[size]) == max_size


def test_items_of_several_images_are_not_split() -> None:
    """Items are not divided, keep their order, and fill the queue by their number of images."""

    async def scenario() -> None:
        batches: list[list[str]] = []

        async def model(items: list[str]) -> list[str]:
            batches.append(items)
            await asyncio.sleep(1)
            return [item.upper() for item in items]

        queue = Batcher(model, 12, max_size=4, clock=asyncio.get_running_loop().time, size=len)
        working = asyncio.create_task(queue.submit(["x"]))
        await until(0.5)
        tasks = [asyncio.create_task(queue.submit(items)) for items in (["aa", "b"], ["cc"], ["dddd"], ["e"])]
        await until(0.6)
        assert queue.waiting_size == 10
        with pytest.raises(QueueFull, match="10 images are waiting"):
            await queue.submit(["fff"])
        tasks[-1].cancel()
        await until(0.7)
        assert queue.waiting_size == 9
        assert await asyncio.gather(working, *tasks[:-1]) == [["X"], ["AA", "B"], ["CC"], ["DDDD"]]
        assert batches == [["x"], ["aa", "b"], ["cc"], ["dddd"]]
        assert queue.waiting_size == 0

    simulate(scenario)
