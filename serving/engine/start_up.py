"""Start-up: a model file is opened, checked, warmed up, and timed on this machine."""

import io
import logging
from functools import partial
from math import inf
from time import perf_counter
from typing import cast

import numpy as np
from PIL import Image

from vitrail.errors import ModelError, VitrailError
from vitrail.images.golden import golden_images
from vitrail.model_file.card import Card
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import explain_path
from vitrail.model_file.golden_check import check_golden
from vitrail.runtime.bound import BUCKETS
from vitrail.runtime.openvino import OPENVINO, has_openvino
from vitrail.runtime.providers import PROVIDERS, TF32, Provider, load_faults, run_faults, usable_cores
from vitrail.serving import settings
from vitrail.serving.engine.batcher import best_batch_size

IN_OPENVINO: Provider = "openvino-bf16"
IN_TF32: Provider = "cuda-tf32"  # rounds what is multiplied to 10 bits, where bfloat16 has 7
COMPARED = (1, 8)  # batch sizes
WORTHWHILE = 1.1  # times as fast as onnxruntime in all of them: other numbers for less would be no gain
SMALL_MODEL = 0.005  # seconds for an image: a faster network may lose more to thread synchronisation than it gains

log = logging.getLogger("bentoml.vitrail")  # a child of the logger that BentoML's servers show


def open_model() -> tuple[Classifier, int]:
    """The model, checked and warmed up; and its best batch size."""
    model = Classifier(settings.model_path(), settings.provider())
    try:
        self_check(model)
        for reason in model.fallbacks:
            log.warning("batches are computed in a slower way: %s", reason)
        model = rounding_if_faster(single_threaded_if_as_fast(model))
        largest = best_batch_size(partial(time_or_never, model))
    except load_faults() as error:
        raise ModelError(f"{model.path} does not run on {model.provider}: {str(error).splitlines()[0]}") from error
    return model, largest


def open_explainer(model: Classifier) -> tuple[Explainer | None, str]:
    """The explainer, warmed up; or the reason why there is none. Predictions are served either way."""
    path = explain_path(model.path)
    if not path.is_file():
        return None, "this model was exported without its explain file (`vitrail export --explain`)"
    try:
        explainer = Explainer(model, path, settings.provider())
        explainer.evidence(golden_images(model.card.input)[0][None])
    except run_faults() as error:
        reason = str(error).splitlines()[0]
        log.warning("no explanations: %s", reason)
        return None, reason
    return explainer, ""


def single_threaded_if_as_fast(model: Classifier) -> Classifier:
    """One thread instead of all cores where it is no slower: in a tiny network, synchronisation costs more."""
    if not model.is_on_cpu or usable_cores() == 1 or best_time(model, 1) > SMALL_MODEL:
        return model
    candidate = Classifier(model.path, provider_of(model), threads=1)
    return (
        candidate if all(best_time(candidate, size) <= best_time(model, size) for size in (1, BUCKETS[-1])) else model
    )


def provider_of(model: Classifier) -> Provider:
    """By which the model runs where it does, whatever was requested."""
    providers = {name: provider for provider, name in {**PROVIDERS, **OPENVINO, **TF32}.items()}
    return cast(Provider, providers[model.provider])


def rounding_if_faster(model: Classifier) -> Classifier:
    """With provider auto: in bfloat16 or TF32, where its accuracy was measured, it passes the golden check, and it is
    faster.
    """
    if settings.provider() != "auto" or (model.is_on_cpu and not has_openvino()):
        return model
    fast, place = (IN_OPENVINO, "OpenVINO") if model.is_on_cpu else (IN_TF32, "TF32")
    try:
        candidate, speed = faster(model, fast)
    except VitrailError as reason:
        log.info("not in %s: %s", place, reason)
        return model
    log.info("in %s, %s; on the test images, with bfloat16, %s", place, speed, comparison_text(model.card))
    return candidate


def faster(model: Classifier, fast: Provider) -> tuple[Classifier, str]:
    """The model as another provider computes it, and how fast; an error with the reason where it should stay."""
    compared = model.card.openvino
    if compared is None:
        raise ModelError("the file was exported without OpenVINO, so what it answers with bfloat16 is not known")
    if compared.verdict != "sound":
        raise ModelError(f"on the test images, with bfloat16, {compared.verdict}")
    candidate = Classifier(model.path, fast, model.threads)
    check = check_golden(candidate)
    if not check.passed:
        raise ModelError(f"it differs from the model's card: {check.differences}")
    times = {size: best_time(model, size) / best_time(candidate, size) for size in COMPARED}
    speed = ", ".join(f"{each:.2f} × as fast as {model.provider} at batch {size}" for size, each in times.items())
    if min(times.values()) < WORTHWHILE:
        raise ModelError(speed)
    return candidate, speed


def comparison_text(card: Card) -> str:
    """What was measured in OpenVINO, and the bounds that it keeps."""
    if (compared := card.openvino) is None:
        return "not compared"
    images, bounds = compared.accuracy.total, compared.bounds
    return (
        f"{compared.flips} of {images:,} labels flip (at most {bounds['flips']:.0%}), of leads to "
        f"{compared.flip_margin:.3f} (at most {bounds['flip_margin']:g}), and {100 * compared.loss:.2f} points of "
        f"accuracy are lost (at most {100 * bounds['loss']:g})"
    )


def self_check(model: Classifier) -> None:
    """Check the model against its golden outputs, then run one image through the whole pipeline."""
    check = check_golden(model)
    if not check.passed:
        raise ModelError(f"on {model.provider} the model differs from its card: {check.differences}")
    if model.card.input.width is not None:
        return
    encoded = io.BytesIO()
    Image.fromarray(golden_images(model.card.input)[0]).save(encoded, "PNG")
    model.payload(model.predict(model.fit(encoded.getvalue())[None]).row(0))


def time_or_never(model: Classifier, size: int) -> float:
    """Infinite where batches of this size fail, as for want of memory: then they are not taken."""
    try:
        return best_time(model, size)
    except run_faults() as error:
        if size == 1:
            raise
        log.warning("no batches of %d: %s", size, str(error).splitlines()[0])
        return inf


def best_time(model: Classifier, size: int) -> float:
    """The least seconds of several runs of this batch size; also creates its plan before the first request."""
    batch = np.stack([golden_images(model.card.input)[-2]] * size)
    times: list[float] = []
    while len(times) < 3 or sum(times) < 0.02:
        start = perf_counter()
        model.predict(batch)
        times.append(perf_counter() - start)
    return min(times)


def fallback_reason(model: Classifier) -> str | None:
    """Why no GPU is in use, where the provider is 'auto'."""
    if settings.provider() == "auto" and model.is_on_cpu:
        return "provider 'auto' found no GPU that onnxruntime can use"
    return None
