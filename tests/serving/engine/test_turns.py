"""Turns of callers, against their definition; the queues that take them, in simulated time and in threads."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrail.serving.engine.admission import Admission
from vitrail.serving.engine.fair_queue import FairQueue
from vitrail.serving.engine.turns import OVERFLOW, Turns, has_room, place
from vitrail.serving.http.caller import CALLER, address_of
from vitrail.serving.http.problems import Problem

from ..simulated import Doubler, Queue, batcher, simulate

COUNTS = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9), max_size=5)


def turns_of(waiting: dict[str, int]) -> Turns:
    turns = Turns()
    for caller, count in waiting.items():
        turns.join(caller, count)
    return turns


@given(COUNTS, st.sampled_from("abcdef"))
def test_the_place_of_the_next_image_is_where_turns_would_put_it(waiting: dict[str, int], caller: str) -> None:
    """At the worst, if others joined first."""
    with_next = {**waiting, caller: waiting.get(caller, 0) + 1}
    others_first = [*(name for name in with_next if name != caller), caller]
    turns = turns_of(with_next)
    items = [((name, number), name, 1.0) for name in others_first for number in range(with_next[name])]
    assert list(turns.in_turn(items)).index((caller, with_next[caller] - 1)) == place(waiting, caller)


@given(COUNTS)
def test_every_item_gets_its_turn_in_its_callers_order(waiting: dict[str, int]) -> None:
    items = [((name, number), name, 1.0) for name, count in waiting.items() for number in range(count)]
    order = list(turns_of(waiting).in_turn(items))
    assert sorted(order) == sorted(item for item, _, _ in items)
    for name, count in waiting.items():
        assert [number for each, number in order if each == name] == list(range(count))


def test_large_items_count_as_what_they_are() -> None:
    turns = turns_of({"blocks": 8, "single": 8})
    items = [*((f"block {i}", "blocks", 4.0) for i in range(2)), *((f"{i}", "single", 1.0) for i in range(8))]
    assert list(turns.in_turn(items)) == ["block 0", *"0123", "block 1", *"4567"]


def test_who_joins_begins_level_and_who_leaves_is_forgotten() -> None:
    turns = turns_of({"a": 2, "b": 1})
    turns.charge("a", 5)
    turns.charge("b", 3)
    turns.join("c")
    assert turns.had == {"a": 5, "b": 3, "c": 3}
    turns.leave("a")
    assert turns.had["a"] == 5
    turns.leave("a")
    turns.charge("a", 9)
    assert turns.had == {"b": 3, "c": 3}
    turns.join("a")
    assert turns.had["a"] == 3


@given(st.integers(1, 50), st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 20)), max_size=60))
def test_no_queue_exceeds_its_overflow_and_none_is_kept_out(capacity: int, requests: list[tuple[str, int]]) -> None:
    waiting: Counter[str] = Counter()
    for caller, count in requests:
        if has_room(waiting, caller, count, capacity):
            waiting[caller] += count
    assert waiting.total() <= OVERFLOW * capacity
    if waiting.total() < OVERFLOW * capacity:
        assert has_room(waiting, "new", 1, capacity) or capacity // (len(waiting) + 1) < 1


def test_one_caller_has_the_whole_queue() -> None:
    assert has_room({"a": 90}, "a", 10, 100)
    assert not has_room({"a": 90}, "a", 11, 100)
    assert has_room({"a": 100}, "b", 50, 100)
    assert not has_room({"a": 100}, "b", 51, 100)


def test_a_caller_is_an_address() -> None:
    assert address_of({"type": "http", "client": ("192.0.2.1", 5000)}) == "192.0.2.1"
    assert address_of({"type": "http", "client": None}) == address_of({"type": "http"}) == ""


async def call_again_and_again(name: str, answered: Counter[str], call: Callable[[], Awaitable[object]]) -> None:
    """A client with one connection, which retries at once."""
    CALLER.set(name)
    while True:
        try:
            await call()
        except Problem:
            continue
        answered[name] += 1


async def load(clients: dict[str, int], call: Callable[[], Awaitable[object]], seconds: float) -> Counter[str]:
    """Answers by caller, each with so many connections."""
    answered: Counter[str] = Counter()
    tasks = [
        asyncio.create_task(call_again_and_again(name, answered, call))
        for name, connections in clients.items()
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return answered


@pytest.mark.parametrize("greedy", [16, 64, pytest.param(300, marks=pytest.mark.long)])
def test_a_greedy_caller_leaves_half_of_the_batches(greedy: int) -> None:
    """With eight connections against many, at a model that is the bottleneck."""

    async def scenario() -> None:
        queue = batcher(Doubler(0.1), capacity=256, max_size=8)
        admission = Admission(Queue(queue, 0.1 / 8), 2, 1)

        async def call() -> None:
            await admission.admit()
            await queue.submit([1])

        answered = await load({"greedy": greedy, "other": 8}, call, 30)
        assert answered.total() > 0.95 * 30 / 0.1 * 8
        assert answered["other"] >= 0.4 * answered.total()

    simulate(scenario)


def test_few_connections_wait_for_no_more_than_their_turn() -> None:
    """One connection against 300 is in every other batch, as it needs a batch to be answered and one to come back."""

    async def scenario() -> None:
        queue = batcher(Doubler(0.1), capacity=256, max_size=8)
        answered = await load({"greedy": 200, "other": 1}, lambda: queue.submit([1]), 30)
        assert answered["other"] >= 0.45 * 30 / 0.1

    simulate(scenario)


def test_a_greedy_caller_leaves_half_of_the_decoders_time() -> None:
    """It sends images that take five times as long."""
    seconds = {"greedy": 0.025, "other": 0.005}

    async def scenario() -> Counter[str]:
        pool = FairQueue("decode", 2)
        used: Counter[str] = Counter()  # milliseconds
        lock = threading.Lock()

        async def call() -> None:
            caller = CALLER.get()

            def work() -> None:
                begin = time.perf_counter()
                time.sleep(seconds[caller])
                with lock:
                    used[caller] += round(1000 * (time.perf_counter() - begin))

            await pool.run(work)

        await load({"greedy": 40, "other": 8}, call, 2)
        pool.shutdown()
        return used

    used = asyncio.run(scenario())
    assert used["other"] >= 0.4 * used.total()
