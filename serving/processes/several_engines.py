"""Several engines behind one queue, each with a GPU of its own: a request goes where it is computed soonest."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrail.model_file.described import Outputs
from vitrail.serving import settings
from vitrail.serving.engine.inference import LOADING, Adopt, Block, Canvas, Loaded
from vitrail.serving.http.middleware import unavailable
from vitrail.serving.processes.remote import EngineGone, RemoteInference
from vitrail.serving.settings import Settings

Result = TypeVar("Result")
Compute = Callable[[RemoteInference], Awaitable[Result]]


class SeveralEngines:
    """The front's side of all engines: it is ready while one of them is."""

    def __init__(self, engines: Sequence[RemoteInference]) -> None:
        self.engines = list(engines)
        for engine in engines:
            engine.gone = EngineGone
        self.states = [LOADING] * len(engines)
        self.capacity = settings.QUEUE
        self.adopt: Adopt = lambda loaded: None
        self.next = 0  # of engines that are equally busy

    @property
    def waiting_size(self) -> int:
        return sum(engine.waiting_size for engine in self.engines)

    @property
    def waiting(self) -> Mapping[str, int]:
        return self.engines[0].waiting  # the board sums up all of them

    @property
    def rate(self) -> float:
        """Of all together; 0 before the first image."""
        speed = sum(1 / engine.rate for engine in self.ready() if engine.rate)
        return 1 / speed if speed else 0.0

    async def load(self, limits: Settings, address: str, adopt: Adopt) -> None:
        self.capacity, self.adopt = limits.queue, adopt
        for number, engine in enumerate(self.engines):
            await engine.load(limits, address, partial(self.take_over, number))

    def take_over(self, number: int, loaded: Loaded) -> None:
        """What is known of one: of all, the model of those that are ready, and why others are not."""
        self.states[number] = loaded
        ready = [state for state in self.states if state.model is not None]
        if not ready:
            self.adopt(loaded)
            return
        missing = [f"{len(self.engines) - len(ready)} of {len(self.engines)} engines are not ready: {state.reason}"
                   for state in self.states if state.model is None]  # fmt: skip
        reason = missing[0] if missing else ready[0].reason
        self.adopt(replace(ready[0], reason=reason, largest_batch=min(state.largest_batch for state in ready)))

    def ready(self) -> list[RemoteInference]:
        return [engine for engine in self.engines if engine.model is not None]

    async def predict(self, blocks: list[Block]) -> Outputs:
        return await self.computed(lambda engine: engine.predict(blocks))

    async def predict_resized(self, images: NDArray[np.uint8]) -> Outputs:
        return await self.computed(lambda engine: engine.predict_resized(images))

    async def explain(self, canvas: Canvas, index: int) -> NDArray[np.float32]:
        return await self.computed(lambda engine: engine.explain(canvas, index))

    async def computed(self, compute: Compute[Result]) -> Result:
        """By the engine that has least to do; by another where it ends meanwhile."""
        for _ in self.engines:
            try:
                return await compute(self.least_busy())
            except EngineGone as error:
                reason = str(error)
        raise unavailable("not_ready", reason)

    def least_busy(self) -> RemoteInference:
        """By the time that it needs for what waits for it and what this front has sent."""
        self.next = (self.next + 1) % len(self.engines)
        in_turn = [*self.engines[self.next :], *self.engines[: self.next]]
        candidates = [engine for engine in in_turn if engine.model is not None] or in_turn  # which say so
        return min(candidates, key=lambda engine: (engine.waiting_size + engine.images) * engine.rate)

    async def close(self) -> None:
        for engine in self.engines:
            await engine.close()
