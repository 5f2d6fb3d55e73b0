"""Which requests are refused, by what waits already; in simulated time."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client import REGISTRY

from vitrail.serving.engine.admission import REFUSAL_DELAY, SHORT_QUEUE, Admission, DecodeQueue, RateEstimate
from vitrail.serving.engine.batcher import Batcher
from vitrail.serving.http.caller import CALLER
from vitrail.serving.http.problems import Problem

from ..simulated import Doubler, Queue, batcher, simulate, submit, until

CAPACITY = 100


def admission_of(infer: float = 0.0, decode: float = 0.0, costly: float = 0.0) -> Admission:
    """For two decoder threads and a costly one, with the seconds that an image takes in each stage."""
    admission = Admission(Queue(batcher(Doubler(), capacity=CAPACITY), infer), 2, 1)
    admission.max_wait = 0.5
    admission.quick.rate.seconds, admission.costly.rate.seconds = decode, costly
    return admission


def batcher_of(admission: Admission) -> Batcher[int, int]:
    assert isinstance(admission.queue, Queue)
    return admission.queue.batcher


@contextmanager
def waiting(admission: Admission, requests: int, caller: str = "") -> Iterator[None]:
    """So many requests with an image each wait for a decoder."""
    token = CALLER.set(caller)
    with ExitStack() as stack:
        for _ in range(requests):
            stack.enter_context(admission.quick.track(1))
        CALLER.reset(token)
        yield


def test_rate_follows_recent_observations() -> None:
    rate = RateEstimate()
    rate.update(0.8, 8)
    assert rate.seconds == pytest.approx(0.1)
    rate.update(0.3)
    assert rate.seconds == pytest.approx(0.12)
    for _ in range(60):
        rate.update(0.3)
    assert rate.seconds == pytest.approx(0.3, rel=0.01)


def test_decode_queue_counts_what_it_tracks() -> None:
    queue = DecodeQueue(2)
    queue.rate.update(0.1)
    with queue.track(32), queue.track(1):
        assert (queue.requests.total(), queue.images.total()) == (2, 33)
        assert queue.expected_wait() == pytest.approx(0.1)  # one image of each request, on two threads
        with pytest.raises(ZeroDivisionError), queue.track(5):
            raise ZeroDivisionError
        assert (queue.requests.total(), queue.images.total()) == (2, 33)
    assert (queue.requests, queue.images, queue.expected_wait()) == ({}, {}, 0)


def test_refused_if_the_expected_wait_is_too_long() -> None:
    async def scenario() -> None:
        admission = admission_of(infer=0.2, decode=0.1)
        await admission.admit()
        admission.require_room(32)  # nothing waits, so there is room for a whole request
        with admission.quick.track(1), admission.quick.track(1):
            assert admission.expected_wait() == pytest.approx(2 * 0.2 + 2 * 0.1 / 2)
            await admission.admit()
        with waiting(admission, SHORT_QUEUE - 1):
            assert admission.expected_wait() > admission.max_wait
            await admission.admit()  # however slow the model, a few may wait
        with admission.quick.track(64):  # decoded one a turn
            await admission.admit()
        with waiting(admission, SHORT_QUEUE):
            admission.require_room(32)  # an admitted request is not refused
            with pytest.raises(Problem, match=f"{SHORT_QUEUE} images are waiting already"):
                await admission.admit()

    simulate(scenario)


def test_refusal_is_delayed_and_counted() -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("vitrail_refused_total", {"reason": "busy"}) or 0.0

    async def scenario() -> None:
        admission = admission_of()  # as fast as can be
        before = refused()
        with admission.quick.track(CAPACITY):
            with pytest.raises(Problem) as caught:
                await admission.admit()
            assert asyncio.get_running_loop().time() == REFUSAL_DELAY
        assert (caught.value.status, caught.value.code, caught.value.headers) == (503, "busy", {"retry-after": "1"})
        assert refused() == before + 1
        await admission.admit()

    simulate(scenario)


def test_images_of_all_queues_share_one_limit() -> None:
    async def scenario() -> None:
        admission = admission_of()
        running = submit(batcher_of(admission), 0)
        await until(0.5)
        others = submit(batcher_of(admission), 1, 2, 3)
        await asyncio.sleep(0)
        with admission.quick.track(40), admission.costly.track(50):
            assert admission.waiting() == 93
            admission.require_room(7)
            with pytest.raises(Problem):
                admission.require_room(8)
        await asyncio.gather(running, others)
        assert admission.waiting() == 0

    simulate(scenario)


def test_costly_images_fill_at_most_half_of_the_queue() -> None:
    async def scenario() -> None:
        admission = admission_of()
        admission.require_costly_room(CAPACITY)  # the first may have any number
        with admission.costly.track(20):
            admission.require_costly_room(30)
            with pytest.raises(Problem):
                admission.require_costly_room(31)

    simulate(scenario)


def test_costly_images_are_refused_if_they_would_be_late() -> None:
    async def scenario() -> None:
        admission = admission_of(costly=0.3)
        with admission.costly.track(SHORT_QUEUE - 1), admission.costly.track(0):
            assert admission.costly.expected_wait() > admission.max_wait
            admission.require_costly_room(1)
            with admission.costly.track(1), pytest.raises(Problem):
                admission.require_costly_room(1)
        await admission.admit()  # small images do not wait for them

    simulate(scenario)


def test_what_one_caller_waits_for_does_not_refuse_another() -> None:
    """Its place is before all but one image of the greedy one's hundred."""

    async def scenario() -> None:
        admission = admission_of(infer=0.02, decode=0.01)
        with waiting(admission, CAPACITY, "greedy"):
            assert admission.expected_wait() == pytest.approx(0.02 + 0.01 / 2)
            await admission.admit()
            admission.require_room(CAPACITY // 2)
            with pytest.raises(Problem):
                admission.require_room(CAPACITY // 2 + 1)
            with waiting(admission, 30):
                assert admission.expected_wait() > admission.max_wait
                with pytest.raises(Problem):
                    await admission.admit()
            CALLER.set("greedy")
            with pytest.raises(Problem):
                await admission.admit()

    simulate(scenario)


def test_many_callers_overfill_the_queue_at_most_twice() -> None:
    async def scenario() -> None:
        admission = admission_of()
        with ExitStack() as stack:
            admitted = 0
            for caller in map(str, range(40)):
                for _ in range(CAPACITY):
                    CALLER.set(caller)
                    try:
                        admission.require_room(1)
                    except Problem:
                        break
                    stack.enter_context(admission.quick.track(1))
                    admitted += 1
            assert CAPACITY < admitted <= 2 * CAPACITY
            assert admission.waiting() == admitted

    simulate(scenario)
