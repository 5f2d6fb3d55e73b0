"""Work is cancelled at its deadline and when its client disconnects, in simulated time."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from vitrail.serving.engine.batcher import QueueFull
from vitrail.serving.http.cancellation import cancelled_with_client
from vitrail.serving.http.problems import Problem

from ..simulated import Doubler, batcher, simulate, submit, until


async def receive_nothing() -> Message:
    """The `receive` of a client that stays connected."""
    await asyncio.Event().wait()
    raise AssertionError


def test_late_request_is_dropped_before_it_is_computed() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.0)
        first = submit(queue, 0)
        await until(0.25)
        with pytest.raises(Problem) as caught:
            async with cancelled_with_client(receive_nothing, 0.5):
                await queue.submit([1])
        assert asyncio.get_running_loop().time() == 0.75  # at the deadline, though the batch still runs
        assert (caught.value.status, caught.value.code) == (504, "deadline_passed")
        await first
        assert model.batches == [[0]]

    simulate(scenario)


def test_disconnected_request_is_dropped_before_it_is_computed() -> None:
    async def scenario() -> None:
        model = Doubler(1.0)
        queue = batcher(model, window=0.0)
        first = submit(queue, 0)

        async def disconnect() -> Message:
            await until(0.5)
            return {"type": "http.disconnect"}

        await until(0.25)
        with pytest.raises(ClientDisconnect):
            async with cancelled_with_client(disconnect, 30):
                await queue.submit([1])
        assert asyncio.get_running_loop().time() == 0.5
        await first
        assert model.batches == [[0]]

    simulate(scenario)


def test_timely_response_leaves_no_task_behind() -> None:
    async def scenario() -> None:
        queue = batcher(Doubler(1.0))
        async with cancelled_with_client(receive_nothing, 1.5):
            assert await queue.submit([1]) == [2]
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(scenario)


def test_timeout_of_the_work_is_not_the_deadline() -> None:
    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with cancelled_with_client(receive_nothing, 5), asyncio.timeout(1):
                await asyncio.sleep(3)

    simulate(scenario)


def test_error_of_the_work_is_raised() -> None:
    async def scenario() -> None:
        with pytest.raises(QueueFull):
            async with cancelled_with_client(receive_nothing, 5):
                await batcher(Doubler(), capacity=0).submit([1])

    simulate(scenario)
