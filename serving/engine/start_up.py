"""From a file to a model that may be asked: opened, proved, warmed, and measured on this machine."""

import io
import logging
from functools import partial
from time import perf_counter

import numpy as np
from PIL import Image

from vitrail.errors import ModelError, VitrailError
from vitrail.images.golden import golden_images
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import explain_path
from vitrail.model_file.golden_check import check_golden
from vitrail.runtime.providers import PROVIDERS, load_faults, usable_cores
from vitrail.serving import settings
from vitrail.serving.engine.batcher import BUCKETS, largest_that_pays

QUICK = 0.005  # seconds for an image: a network that takes no longer may lose more by sharing work than it gains

log = logging.getLogger("bentoml.vitrail")  # below the logger that BentoML's servers show


def open_model() -> tuple[Classifier, int]:
    """A model that has proved itself on this machine, and is warm; and how many images to give it at once."""
    model = Classifier(settings.model_path(), settings.provider())
    try:
        prove(model)
        model = on_one_core_if_as_fast(model)
        largest = largest_that_pays(partial(fastest, model))
    except load_faults() as fault:
        raise ModelError(f"{model.path} does not run on {model.provider}: {str(fault).splitlines()[0]}") from fault
    return model, largest


def open_explainer(model: Classifier) -> tuple[Explainer | None, str]:
    """The explain file beside the model, warm; or why there is none. Labels are served either way."""
    path = explain_path(model.path)
    if not path.is_file():
        return None, "this model was exported without its explain file (`vitrail export --explain`)"
    faults: tuple[type[Exception], ...] = (VitrailError, *load_faults())
    try:
        explainer = Explainer(model, path, settings.provider())
        explainer.evidence(golden_images(model.card.input.size)[0][None])
    except faults as fault:
        reason = str(fault).splitlines()[0]
        log.warning("nothing can be explained: %s", reason)
        return None, reason
    return explainer, ""


def on_one_core_if_as_fast(model: Classifier) -> Classifier:
    """A tiny network takes longer on all cores than on one: they spend the time on telling each other."""
    if model.provider != PROVIDERS["cpu"] or usable_cores() == 1 or fastest(model, 1) > QUICK:
        return model
    alone = Classifier(model.path, "cpu", threads=1)
    return alone if all(fastest(alone, size) <= fastest(model, size) for size in (1, BUCKETS[-1])) else model


def prove(model: Classifier) -> None:
    """Check the model against its golden answers, then send one image the whole way."""
    check = check_golden(model)
    if not check.passed:
        raise ModelError(f"on {model.provider} the model differs from its card: {check.differences}")
    encoded = io.BytesIO()
    Image.fromarray(golden_images(model.card.input.size)[0]).save(encoded, "PNG")
    model.payload(model.predict(model.fit(encoded.getvalue())[None]).row(0))


def fastest(model: Classifier, size: int) -> float:
    """Seconds for a batch of this size when nothing disturbs it; its plan is made on the way, not for a caller."""
    batch = np.stack([golden_images(model.card.input.size)[-2]] * size)
    times: list[float] = []
    while len(times) < 3 or sum(times) < 0.02:
        start = perf_counter()
        model.predict(batch)
        times.append(perf_counter() - start)
    return min(times)


def slower_than_hoped(model: Classifier) -> str | None:
    """Why a GPU is not in use, where nobody asked for the CPU."""
    if settings.provider() == "auto" and model.provider == PROVIDERS["cpu"]:
        return "provider 'auto' found no GPU that onnxruntime can use"
    return None
