"""Admission control: how long an image would wait, and which requests are refused with 503."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, Protocol

from vitrail.serving import settings
from vitrail.serving.engine.turns import has_room, place
from vitrail.serving.http.caller import CALLER
from vitrail.serving.http.middleware import WAITING, unavailable
from vitrail.serving.http.problems import Problem
from vitrail.serving.siblings import Alone, Siblings

SMOOTHING = 0.1  # weight of the newest observation in the moving average
SHORT_QUEUE = 8  # images that may wait however slow the model is: clients often send a few at once
REFUSAL_DELAY = 0.1  # seconds before a 503: clients that retry at once would cost half of the throughput


class RateEstimate:
    """Seconds per image, as an exponential moving average; 0 before the first observation."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def update(self, seconds: float, images: int = 1) -> None:
        each = seconds / images
        self.seconds += SMOOTHING * (each - self.seconds) if self.seconds else each


class DecodeQueue:
    """What waits for a decoder thread: requests and images of each caller, and the time an image takes."""

    def __init__(self, threads: int, on_change: Callable[[str], None] = lambda caller: None) -> None:
        self.threads = threads
        self.on_change = on_change  # called with the caller whose counts have changed
        self.requests: Counter[str] = Counter()
        self.images: Counter[str] = Counter()
        self.rate = RateEstimate()

    @contextmanager
    def track(self, images: int) -> Iterator[None]:
        caller = CALLER.get()
        self.requests[caller] += 1
        self.images[caller] += images
        self.on_change(caller)
        try:
            yield
        finally:
            self.requests[caller] -= 1
            self.images[caller] -= images
            if not self.requests[caller]:
                del self.requests[caller], self.images[caller]
            self.on_change(caller)

    def expected_wait(self) -> float:
        """Seconds until a new request's first image is decoded: each request before it has one image decoded first."""
        return place(self.requests, CALLER.get()) * self.rate.seconds / self.threads


class InferQueue(Protocol):
    """What waits for the model."""

    @property
    def capacity(self) -> int:
        """Images that may wait."""

    @property
    def waiting_size(self) -> int:
        """Images that wait."""

    @property
    def waiting(self) -> Mapping[str, int]:
        """The same by caller."""

    @property
    def rate(self) -> float:
        """Seconds an image; 0 before the first."""


class Admission:
    """One limit for images that wait for a decoder and for those that wait for the model.

    An image that is admitted to be decoded has its place in the batcher's queue already, so no decoding is wasted
    because that queue is full. A request is refused when too many images wait, or when its turn is expected to come
    later than `max_wait`, unless fewer than SHORT_QUEUE images come before it. Callers take turns: what many requests
    of one wait for is no reason to refuse another. What waits in other processes of this server counts too, except for
    the decoders, which each has for itself.
    """

    def __init__(
        self, queue: InferQueue, decoder_threads: int, costly_threads: int, siblings: Siblings | None = None
    ) -> None:
        self.queue = queue
        self.siblings = siblings or Alone()
        self.max_wait = settings.WAIT
        self.quick = DecodeQueue(decoder_threads, self.publish)
        self.costly = DecodeQueue(costly_threads, self.publish)
        WAITING.labels("decode").set_function(self.decoding)
        WAITING.labels("infer").set_function(lambda: self.queue.waiting_size)

    def publish(self, caller: str) -> None:
        images = self.quick.images[caller] + self.costly.images[caller]
        self.siblings.publish_caller("requests", caller, self.quick.requests[caller])
        self.siblings.publish_caller("images", caller, images)
        self.siblings.publish("decoding", self.quick.images.total() + self.costly.images.total())

    def decoding(self) -> int:
        """Images that wait for a decoder."""
        return self.quick.images.total() + self.costly.images.total() + self.siblings.others("decoding")

    async def admit(self) -> None:
        """Refuse a request that would wait too long, before its body is read; called once per request."""
        if not self.has_room(1) or self.is_too_slow():
            await self.refuse(self.too_many())

    async def refuse(self, detail: str) -> NoReturn:
        problem = unavailable("busy", detail)
        await asyncio.sleep(REFUSAL_DELAY)
        raise problem

    def is_too_slow(self) -> bool:
        if self.waiting() < SHORT_QUEUE or place(self.waiting_of_callers(), CALLER.get()) < SHORT_QUEUE:
            return False
        return self.expected_wait() > self.max_wait

    def require_room(self, images: int) -> None:
        if not self.has_room(images):
            raise self.busy()

    def has_room(self, images: int) -> bool:
        if self.waiting() + images <= self.queue.capacity:
            return True
        return has_room(self.waiting_of_callers(), CALLER.get(), images, self.queue.capacity)

    def require_costly_room(self, images: int) -> None:
        """Refuse costly images that would wait too long, or fill more than half of the queue."""
        queue, caller = self.costly, CALLER.get()
        is_late = place(queue.images, caller) >= SHORT_QUEUE and queue.expected_wait() > self.max_wait
        if is_late or (queue.images and not has_room(queue.images, caller, images, self.queue.capacity // 2)):
            raise self.busy()

    def waiting(self) -> int:
        """Images that are admitted and not in a batch yet."""
        return self.decoding() + self.queue.waiting_size

    def waiting_of_callers(self) -> Counter[str]:
        here = self.quick.images + self.costly.images
        return here + self.siblings.callers("images") + Counter(self.queue.waiting)

    def expected_wait(self) -> float:
        """Seconds until a new request's turn, by the current rates; 0 where nothing waits."""
        caller = CALLER.get()
        requests = self.quick.requests + self.siblings.callers("requests")
        to_infer = place(requests, caller) + place(self.queue.waiting, caller)
        return self.quick.expected_wait() + to_infer * self.queue.rate

    def busy(self) -> Problem:
        return unavailable("busy", self.too_many())

    def too_many(self) -> str:
        return f"{self.waiting()} images are waiting already; try again in a moment"
