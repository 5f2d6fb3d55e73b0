"""How many messages are received at once: few of each caller, so that slow ones hold up only their own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 8  # as many as fill the memory for bodies, if each is as large as allowed
OF_CALLER = 4


class Receiving:
    """Places for messages that are being received; who finds none waits for its turn."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(AT_ONCE)
        self.of_callers: dict[str, asyncio.Semaphore] = {}
        self.users: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        own = self.of_callers.setdefault(caller, asyncio.Semaphore(OF_CALLER))
        self.users[caller] += 1
        try:
            async with own, self.places:
                yield
        finally:
            self.users[caller] -= 1
            if not self.users[caller]:
                del self.users[caller], self.of_callers[caller]
