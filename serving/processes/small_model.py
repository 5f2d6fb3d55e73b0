"""A model so small that handing its images over costs more than computing them: each front has it, too."""

import asyncio
import logging
from collections.abc import Callable

from vitrail.errors import VitrailError
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import check_golden
from vitrail.runtime.providers import PROVIDERS, run_faults
from vitrail.serving.engine.inference import INLINE_SECONDS, Loaded, LocalInference

SMALL = 0.001  # seconds for an image; to hand it over costs about a third of that

log = logging.getLogger("bentoml.vitrail")


def is_small(loaded: Loaded) -> bool:
    """Whether fronts compute it; on a GPU and in OpenVINO only the engine does."""
    model = loaded.model
    return model is not None and model.provider == PROVIDERS["cpu"] and 0 < loaded.seconds < SMALL


class SmallModel:
    """What a front computes itself: requests that are done before a hand-over would be."""

    def __init__(self) -> None:
        self.inference: LocalInference | None = None  # while there is an engine, which has the same model
        self.opened: LocalInference | None = None
        self.opening: asyncio.Task[None] | None = None

    def adopt(self, loaded: Loaded) -> None:
        """Open the model beside the engine's, which computes until then; or let it go."""
        self.close()
        if is_small(loaded):
            self.opening = asyncio.create_task(self.open(loaded))

    async def open(self, loaded: Loaded) -> None:
        model = loaded.model
        assert model is not None
        if self.opened is None or self.opened.loaded.model is None or self.opened.loaded.model.sha256 != model.sha256:
            try:
                self.opened = await asyncio.to_thread(opened, loaded, self.lose)
            except faults() as error:
                log.warning("a front does not compute this model itself: %s", error)
                return
        self.inference = self.opened

    def inference_for(self, images: int) -> LocalInference | None:
        """What computes so many here; None where they are better handed over."""
        own = self.inference
        return own if own is not None and images * own.rate < INLINE_SECONDS else None

    def lose(self) -> None:
        self.inference = self.opened = None

    def close(self) -> None:
        if self.opening is not None:
            self.opening.cancel()
        self.inference = None


def faults() -> tuple[type[Exception], ...]:
    return (*run_faults(), OSError)


def opened(loaded: Loaded, on_lost: Callable[[], None]) -> LocalInference:
    """Of the same file, with the same answers."""
    assert loaded.model is not None
    model = Classifier(loaded.model.path, "cpu", threads=1)
    if model.sha256 != loaded.model.sha256:
        raise VitrailError("the file has been replaced")
    if not (check := check_golden(model)).passed:
        raise VitrailError(f"it differs from the model's card: {check.differences}")
    inference = LocalInference(on_lost=on_lost)
    inference.take(model, loaded)
    inference.infer_rate.update(loaded.seconds)
    return inference
