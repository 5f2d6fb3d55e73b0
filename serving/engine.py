"""The model behind the routes: loaded, proved and warmed in the background, then asked off the event loop."""

import asyncio
import io
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.classifier import Answers, Classifier
from vitrail.errors import ModelError, PictureError, VitrailError
from vitrail.golden import golden_pictures
from vitrail.golden_check import check_golden
from vitrail.runtime import PROVIDERS, load_faults, usable_cores
from vitrail.serving import settings
from vitrail.serving.problems import Problem
from vitrail.serving.watch import READY, STAGES

P = ParamSpec("P")
T = TypeVar("T")
Canvas = NDArray[np.uint8]

log = logging.getLogger("bentoml.vitrail")  # below the logger that BentoML's servers show


class Engine:
    """One model, the threads that decode for it, and the one thread that runs it on all cores."""

    def __init__(self) -> None:
        self.decoders = ThreadPoolExecutor(usable_cores(), "decode")
        self.lane = ThreadPoolExecutor(1, "infer")
        self.model: Classifier | None = None
        self.reason: str | None = "the model is loading"

    async def load(self, address: str) -> None:
        """Make ready; a model that cannot be served leaves the engine unready, with its reason."""
        try:
            self.model = await run(self.lane, open_model)
        except VitrailError as fault:
            self.reason = str(fault)
            log.error("not ready: %s", fault)
            return
        self.reason = slower_than_hoped(self.model)
        READY.labels(self.model.provider).set(1)
        log.info("ready on %s%s: %s", self.model.provider, f" ({self.reason})" if self.reason else "", address)

    def ready(self) -> Classifier:
        if self.model is None:
            raise Problem(503, "not_ready", f"not ready: {self.reason}", {"retry-after": "1"})
        return self.model

    async def canvases(self, pictures: Sequence[bytes]) -> list[Canvas | PictureError]:
        """Each picture as the model's canvas, or what is wrong with it."""
        model = self.ready()

        def canvas(data: bytes) -> Canvas | PictureError:
            with STAGES.labels("decode").time():
                try:
                    return model.fit(data)
                except PictureError as fault:
                    return fault

        return await asyncio.gather(*(run(self.decoders, canvas, data) for data in pictures))

    async def answer(self, canvases: Sequence[Canvas]) -> Answers:
        """What the model says of uint8 [size, size, 3] canvases, run as one batch [N, size, size, 3]."""
        model = self.ready()

        def infer() -> Answers:
            with STAGES.labels("infer").time():
                return model.answer(np.stack(canvases))

        return await run(self.lane, infer)

    def close(self) -> None:
        for pool in (self.decoders, self.lane):
            pool.shutdown(wait=False, cancel_futures=True)


async def run(pool: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **kwargs))


def open_model() -> Classifier:
    """A model that has proved itself on this machine, and is warm."""
    model = Classifier(settings.model_path(), settings.provider())
    try:
        prove(model)
    except load_faults() as fault:
        raise ModelError(f"{model.path} does not run on {model.provider}: {str(fault).splitlines()[0]}") from fault
    return model


def prove(model: Classifier) -> None:
    """Check the model against its golden answers, then send one picture the whole way."""
    check = check_golden(model)
    if not check.passed:
        raise ModelError(f"on {model.provider} the model differs from its card: {check.differences}")
    encoded = io.BytesIO()
    Image.fromarray(golden_pictures(model.card.input.size)[0]).save(encoded, "PNG")
    model.classify(encoded.getvalue(), 1)


def slower_than_hoped(model: Classifier) -> str | None:
    """Why a GPU is not in use, where nobody asked for the CPU."""
    if settings.provider() == "auto" and model.provider == PROVIDERS["cpu"]:
        return "provider 'auto' found no GPU that onnxruntime can use"
    return None
