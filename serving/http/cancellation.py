"""Work for a client is cancelled at its deadline, or when the client disconnects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from vitrail.serving.http.middleware import REFUSED, STAGE
from vitrail.serving.http.problems import Problem

WATCH_DELAY = 0.05  # seconds before the connection and the deadline are watched


@asynccontextmanager
async def cancelled_with_client(receive: Receive, seconds: float) -> AsyncIterator[None]:
    """Cancel the enclosed work at the deadline, and as soon as the client disconnects.

    Enter it once the body has been read: then only a disconnect can still be received, so one task with a pending
    `receive` is enough to notice it. Most requests end before WATCH_DELAY, and never pay for that task.
    """
    loop, start = asyncio.get_running_loop(), perf_counter()
    deadline = loop.time() + seconds
    disconnected = False
    watcher: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(None) as timeout:

            async def wait_for_disconnect() -> None:
                nonlocal disconnected
                await receive()
                disconnected = True
                timeout.reschedule(loop.time())

            def start_watching() -> None:
                nonlocal watcher
                timeout.reschedule(deadline)
                watcher = loop.create_task(wait_for_disconnect())

            timer = loop.call_later(min(WATCH_DELAY, seconds), start_watching)
            try:
                yield
            finally:
                timer.cancel()
                if watcher is not None:
                    watcher.cancel()
    except TimeoutError:
        if not timeout.expired():
            raise
        REFUSED.labels("gone" if disconnected else "late").inc()
        if disconnected:
            raise ClientDisconnect from None
        detail = f"no response within {seconds:g} seconds: the server is overloaded"
        raise Problem(504, "deadline_passed", detail) from None
    STAGE["total"].observe(perf_counter() - start)
