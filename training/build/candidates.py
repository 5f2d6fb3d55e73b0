"""The networks that a build trains: pretrained ones where their weights are at hand, else small ones from scratch."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import yaml
from timm.models.vision_transformer import VisionTransformer

from vitrail.errors import ModelError, UsageError
from vitrail.models.timm_models import named
from vitrail.training.recipes import find_recipe

Plain = dict[str, Any]
Family = Literal["ViT", "CNN"]

# What is downloaded where no folder of weights is given: what a CPU fine-tunes within minutes, or a GPU does.
FETCHED: dict[str, dict[Family, str]] = {
    "cpu": {"ViT": "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "CNN": "resnet18.a1_in1k"},
    "cuda": {"ViT": "vit_small_patch16_224.augreg_in21k_ft_in1k", "CNN": "convnext_tiny.in12k_ft_in1k"},
}
PRETRAINED: dict[Family, str] = {"ViT": "images-vit-pretrained", "CNN": "images-cnn-pretrained"}
SCRATCH: dict[Family, str] = {"ViT": "small-vit", "CNN": "small-cnn"}
SIZES = (16, 32, 64)  # of canvases from scratch, of which the first counts that is not much smaller than the images
ENLARGED = 0.75  # of a canvas: images of this side or more fill it
# Of canvases for pretrained networks, up to the size they were trained at: small images are enlarged, for the networks
# know objects of more pixels, but a canvas that is larger still costs time and shows no more.
PRETRAINED_STEP, PRETRAINED_LEAST, PRETRAINED_ENLARGED = 32, 128, 0.625
GRID = 8  # patches of a canvas from scratch, across and down


@dataclass(frozen=True)
class Candidate:
    """One network of a build, with the recipe of `vitrail fit` that trains it."""

    name: str
    family: Family
    weights: str  # where they come from; empty from scratch
    recipe: Plain

    @property
    def is_pretrained(self) -> bool:
        return bool(self.weights)

    @property
    def size(self) -> int:
        return int(self.recipe["data"]["size"])

    def __str__(self) -> str:
        return f"{self.name} ({self.family}, {self.weights or 'from scratch'})"


def candidates(weights: Path | None, offline: bool, device: str, side: int) -> tuple[list[Candidate], str]:
    """A ViT and a CNN or more, and why these; `side` is the shorter side of the median image."""
    if weights is not None:
        return from_folder(weights, side)
    if offline:
        return from_scratch(
            side
        ), "no weights were given and nothing may be downloaded: both networks learn from scratch"
    try:
        found = [pretrained(name, family, True, side) for family, name in FETCHED[device].items()]
    except ModelError as fault:
        return from_scratch(side), f"both networks learn from scratch: {fault}"
    return found, "pretrained weights from the Hugging Face Hub, where few images go furthest"


def from_folder(folder: Path, side: int) -> tuple[list[Candidate], str]:
    """The networks whose weights are in a folder; a family that has none there learns from scratch."""
    files = sorted(folder.glob("*.safetensors"))
    known = {file: family_of(file.stem) for file in files}
    unknown = [file.name for file, family in known.items() if family is None]
    found = [pretrained(file.stem, family, str(file), side) for file, family in known.items() if family]
    if not found:
        raise UsageError(
            f"{folder} has no weights of a network of timm: files are called after their network, such as "
            "vit_tiny_patch16_224.safetensors" + (f" ({', '.join(unknown[:3])} is none)" if unknown else "")
        )
    there = {one.family for one in found}
    found += [one for one in from_scratch(side) if one.family not in there]
    return found, f"pretrained weights of {len(known) - len(unknown)} network(s) in {folder}"


def family_of(name: str) -> Family | None:
    """Whether timm's network of this name is a ViT, if there is one."""
    if not timm.is_model(name):
        return None
    with torch.device("meta"):  # no weights are made
        return "ViT" if isinstance(timm.create_model(name), VisionTransformer) else "CNN"


def pretrained(name: str, family: Family, weights: bool | str, side: int) -> Candidate:
    """A network of timm by the shipped recipe for its family, once its weights have been loaded."""
    recipe = read(PRETRAINED[family])
    network = named(name, 1, weights, 0.0)
    recipe["model"]["net"]["init_args"] = {"name": name, "pretrained": weights}
    recipe["data"]["size"] = pretrained_size(network.pretrained_cfg, family, side)
    return Candidate(name, family, weights if isinstance(weights, str) else f"hf-hub:timm/{name}", recipe)


def pretrained_size(config: Any, family: Family, side: int) -> int:
    """Of canvases for images of this side; a ViT resamples its positions, other networks may have one size only."""
    most = int(config["input_size"][-1])
    if family == "CNN" and config.get("fixed_input_size"):
        return most
    wanted = PRETRAINED_STEP * ceil(side / PRETRAINED_ENLARGED / PRETRAINED_STEP)
    return min(most, max(PRETRAINED_LEAST, wanted))


def from_scratch(side: int) -> list[Candidate]:
    """The shipped recipes for small images, on canvases that suit these images."""
    size = next((size for size in SIZES if side <= size / ENLARGED), SIZES[-1])
    recipes = {family: read(recipe) for family, recipe in SCRATCH.items()}
    recipes["ViT"]["model"]["net"]["init_args"]["patch"] = size // GRID
    for recipe in recipes.values():
        recipe["data"]["size"] = size
    return [Candidate(SCRATCH[family], family, "", recipe) for family, recipe in recipes.items()]


def read(recipe: str) -> Plain:
    content: Plain = yaml.safe_load(Path(find_recipe(recipe)).read_text(encoding="utf-8"))
    return content
