"""nvImageCodec in place of Pillow's JPEG decoder: taken where the model's answers for test images hardly differ."""

import io
import logging
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from vitrail.errors import VitrailError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit, read_header
from vitrail.images.golden import mosaic
from vitrail.images.nvimgcodec import NvImageCodec, takes
from vitrail.model_file.classifier import Classifier
from vitrail.runtime.gpus import gpu_count
from vitrail.tasks.task import ProbabilityTask

MAX_LEVELS = 1.0  # of 255, the mean over a canvas
MAX_PROBABILITY = 0.02  # by which an answer may differ
SUBSAMPLINGS = (0, 1, 2)  # of the chroma: 4:4:4, 4:2:2 and 4:2:0
SIZES = ((640, 480), (299, 401))
ON_ITS_SIDE = 6

log = logging.getLogger("bentoml.vitrail")


def codec() -> NvImageCodec:
    return NvImageCodec(on_cpu=gpu_count() == 0)


def decodes_alike(model: Classifier) -> bool:
    """Whether it may be used; an error where it is not installed."""
    jpegs, rule = codec(), model.card.input
    levels, probabilities = [0.0], [0.0]
    try:
        for data in samples(rule):
            if jpegs.decode(data) is None:
                log.warning("JPEGs are decoded by Pillow: nvImageCodec does not decode one of the test images")
                return False
            ours, theirs = fit(data, rule), fit(data, rule, jpegs=jpegs)
            levels.append(float(np.abs(ours.astype(float) - theirs).mean()))
            if isinstance(model.task, ProbabilityTask):
                answers = [model.predict(canvas[None]).probabilities for canvas in (ours, theirs)]
                probabilities.append(float(np.abs(answers[0] - answers[1]).max()))
    except (VitrailError, RuntimeError) as error:
        log.warning("JPEGs are decoded by Pillow: %s", error)
        return False
    found = f"canvases differ by {max(levels):.2f} levels (at most {MAX_LEVELS:g}), probabilities by "
    found += f"{max(probabilities):.4f} (at most {MAX_PROBABILITY:g})"
    is_alike = max(levels) <= MAX_LEVELS and max(probabilities) <= MAX_PROBABILITY
    log.info("JPEGs are decoded by %s: %s", "nvImageCodec" if is_alike else "Pillow", found)
    return is_alike


def samples(rule: InputRule) -> Iterator[bytes]:
    """Of the sizes that nvImageCodec would be given for this rule."""
    for size in SIZES:
        for subsampling in SUBSAMPLINGS:
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = ON_ITS_SIDE
            file = io.BytesIO()
            image = Image.fromarray(mosaic(12, subsampling, *size))
            image.save(file, "JPEG", quality=90, subsampling=subsampling, exif=exif)
            if takes(read_header(file.getvalue()), rule):
                yield file.getvalue()
