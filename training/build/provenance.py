"""Where the weights come from that a training started from, and which test images they may have seen before."""

from hashlib import sha256
from pathlib import Path

import timm

TIMM = "hf-hub:timm/"  # before the name of a network, of which timm knows more
# By the parts of timm's names after the point.
SETS = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "laion2b": "LAION-2B",
    "lvd142m": "LVD-142M",
}
OVERLAP = "images of the test that were among them count as new here"
CUT = "sets that were cut from ImageNet are, such as Imagenette, Tiny ImageNet and Stanford Dogs"


def provenance(weights: str) -> str:
    """Sentences for the model card, of a file or of weights of timm; none from scratch."""
    if not weights:
        return "It started from scratch."
    if weights.startswith(TIMM):
        return of_timm(weights.removeprefix(TIMM))
    file = Path(weights)
    digest = sha256(file.read_bytes()).hexdigest()
    return (
        f"Training started from the weights in `{file.name}`, SHA-256 `{digest}`. What they were trained on is not in "
        f"the file: {OVERLAP}; where it was ImageNet, {CUT}."
    )


def of_timm(name: str) -> str:
    config = timm.get_pretrained_cfg(name)
    licence = f", licence {config.license}" if config is not None and config.license else ""
    seen = [SETS[part] for part in name.partition(".")[2].split("_") if part in SETS]
    trained_on = f", trained on {' and '.join(seen)}" if seen else ""
    cut = f"; {CUT}" if any("ImageNet" in one for one in seen) else ""
    return (
        f"Training started from timm's weights `{name}`{trained_on} (https://huggingface.co/timm/{name}{licence}). "
        f"Which images those were is not compared: {OVERLAP}{cut}."
    )
