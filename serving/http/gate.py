"""Who is inside the server, and what they brought; and on SIGTERM, no one new let in until they have their answers."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 20.0  # seconds that those inside may take; then the server ends as if nobody had asked for this
LOOK = 0.05  # seconds between two looks at who is left
MOST_HELD = 160_000_000  # bytes that all who are inside may have brought


class Visit:
    """One request inside, and how many bytes of its body are held."""

    def __init__(self, door: "Gate") -> None:
        self.door = door
        self.came_in_time = door.open
        self.bytes = 0

    def bring(self, size: int) -> bool:
        """Whether there is room for so many bytes more; if so they are held until the visit ends."""
        if self.door.held + size > MOST_HELD:
            return False
        self.door.held += size
        self.bytes += size
        return True


class Gate:
    """Open until SIGTERM. Shut, the server still listens: callers are told so, instead of waiting in a dead line."""

    def __init__(self) -> None:
        self.open = True
        self.inside: set[Visit] = set()
        self.held = 0

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        visit = Visit(self)
        self.inside.add(visit)
        try:
            yield visit
        finally:
            self.inside.discard(visit)
            self.held -= visit.bytes

    @contextmanager
    def shut_by(self, sign: signal.Signals) -> Iterator[None]:
        """Stand before the server's own handler of this signal: shut, wait until all inside are answered, pass it on.

        uvicorn stops listening at once, but BentoML's arbiter keeps the socket: whoever called then would hang.
        """
        loop = asyncio.get_running_loop()
        obeyed = signal.getsignal(sign)
        leaving: set[asyncio.Task[None]] = set()

        def shut(number: int, frame: FrameType | None) -> None:
            signal.signal(sign, obeyed)  # a second one is obeyed at once
            loop.call_soon_threadsafe(lambda: leaving.add(loop.create_task(leave())))

        async def leave() -> None:
            self.open = False
            await self.emptied(set(self.inside))
            if signal.getsignal(sign) is obeyed:
                signal.raise_signal(sign)

        signal.signal(sign, shut)
        try:
            yield
        finally:
            if signal.getsignal(sign) is shut:
                signal.signal(sign, obeyed)
            for task in leaving:
                task.cancel()

    async def emptied(self, owed: set[Visit]) -> None:
        """Wait for those who were inside; callers who come to a shut door are not waited for."""
        try:
            async with asyncio.timeout(PATIENCE):
                while owed & self.inside:
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            pass
