"""What makes the vectors of an image: a registry of names."""

from functools import partial
from typing import Any

from vitrail.attention.component import Component, Setting, settings_of
from vitrail.models import hybrid_stem
from vitrail.models.conv_stem import ConvStem, refuse_other_patches
from vitrail.models.hybrid_stem import HybridStem
from vitrail.models.overlapping_patches import OverlappingPatches, refuse_pixels

# Settings in YAML, with their defaults.
STEMS: dict[str, dict[str, Setting]] = {"patches": {}, "overlapping": {}, "conv": {}, "hybrid": {"backbone": ""}}


def check_stem(stem: Component, patch: int) -> None:
    """Refuse invalid settings and patches, as far as they are known without the size of the images."""
    settings: Any = settings_of("stem", stem, STEMS[stem.name])
    if stem.name == "overlapping":
        refuse_pixels(patch)
    elif stem.name == "conv":
        refuse_other_patches(patch)
    elif stem.name == "hybrid":
        hybrid_stem.refuse_unfit(settings["backbone"], patch)


def stem_arguments(stem: Component) -> dict[str, Any]:
    """Arguments of timm's VisionTransformer; with patches, its own embedding."""
    settings = settings_of("stem", stem, STEMS[stem.name])
    layers: dict[str, Any] = {
        "overlapping": OverlappingPatches,
        "conv": ConvStem,
        "hybrid": partial(HybridStem, **settings),
    }
    return {"embed_layer": layers[stem.name]} if stem.name in layers else {}
