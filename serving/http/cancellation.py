"""The one who waits for an answer: work for a caller ends when it is too late for them, or when they have gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from vitrail.serving.http.middleware import REFUSED, STAGE
from vitrail.serving.http.problems import Problem

FIRST_LOOK = 0.05  # seconds before anybody looks whether the caller is still there


@asynccontextmanager
async def attended(receive: Receive, seconds: float) -> AsyncIterator[None]:
    """What is done inside is cancelled at the deadline, and as soon as the connection ends.

    To be entered once the body has been read: the only thing that can still be received then is the end of the
    connection, so one pending `receive` watches for it at the price of a task, without asking again and again.
    Most have their answer before it would begin, and before anybody looks at the clock.
    """
    loop, start = asyncio.get_running_loop(), perf_counter()
    deadline = loop.time() + seconds
    gone = False
    watching: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(None) as clock:

            async def watch() -> None:
                nonlocal gone
                await receive()
                gone = True
                clock.reschedule(loop.time())

            def begin() -> None:
                nonlocal watching
                clock.reschedule(deadline)
                watching = loop.create_task(watch())

            later = loop.call_later(min(FIRST_LOOK, seconds), begin)
            try:
                yield
            finally:
                later.cancel()
                if watching is not None:
                    watching.cancel()
    except TimeoutError:
        if not clock.expired():
            raise
        REFUSED.labels("gone" if gone else "late").inc()
        if gone:
            raise ClientDisconnect from None
        late = f"no answer within {seconds:g} seconds: the server has more to do than it can"
        raise Problem(504, "deadline_passed", late) from None
    STAGE["total"].observe(perf_counter() - start)
