"""Networks of timm by name, with pretrained weights by name, from a file or from the Hugging Face Hub."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from torch import Tensor, nn

from vitrail.errors import ModelError, UsageError

logger = logging.getLogger(__name__)

HUB = "hf-hub:"  # before USER/REPOSITORY
ON_THE_HUB = "model.safetensors"  # in each of timm's repositories


def named(name: str, classes: int, pretrained: bool | str, drop_path: float, **others: Any) -> nn.Module:
    """timm's network `name` for these classes; ViTs also take `img_size` and components."""
    refuse_unknown(name)
    options: dict[str, Any] = {"num_classes": classes, **others}
    if drop_path:  # not every network takes it
        options["drop_path_rate"] = drop_path
    if isinstance(pretrained, str):
        file = str(weights_at(pretrained))
        options["pretrained_cfg_overlay"] = {"file": file, "custom_load": False}  # not that of the original file
    before = torch.get_rng_state()
    try:
        network: nn.Module = timm.create_model(name, pretrained=bool(pretrained), **options)
    except TypeError as fault:
        raise UsageError(f"timm's '{name}' cannot be built this way: {fault}") from fault
    except (OSError, RuntimeError, SafetensorError) as fault:
        reason = str(fault).splitlines()[0]
        raise ModelError(
            f"the weights of '{name}' could not be loaded ({reason}): give a file as `pretrained`"
        ) from fault
    if isinstance(pretrained, str):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(before)
            refuse_unloaded(network, timm.create_model(name, **options), pretrained)
    return network


def weights_at(place: str) -> Path:
    """The file at this path; that of a repository, hf-hub:USER/REPOSITORY, is fetched once."""
    file = from_hub(place.removeprefix(HUB)) if place.startswith(HUB) else Path(place)
    if not file.is_file():
        raise ModelError(f"there is no weights file at {place}")
    return file


def from_hub(repository: str) -> Path:
    try:
        return Path(hf_hub_download(repository, ON_THE_HUB))
    except (OSError, ValueError) as fault:  # no network, no such repository, no name of one
        raise ModelError(
            f"the weights of '{repository}' could not be fetched ({str(fault).splitlines()[0]}): give a file, or with "
            "--weights a folder that has them"
        ) from fault


def refuse_unloaded(network: nn.Module, untrained: nn.Module, file: str) -> None:
    """Refuse a file of another network: timm skips what does not fit as soon as the number of classes differs.

    `untrained` has the same random start, so that what was not loaded is equal in both.
    """
    matrices = {name: one for name, one in untrained.named_parameters() if one.ndim > 1}
    there = dict(network.named_parameters())
    left = [name for name, one in matrices.items() if torch.equal(one, there[name])]
    if 2 * len(left) > len(matrices):
        raise ModelError(
            f"{file} holds weights of another network: {len(left)} of {len(matrices)} matrices of this one are not in "
            f"it, such as {left[0]}"
        )


def refuse_unknown(name: str) -> None:
    if not timm.is_model(name):
        near = get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        raise UsageError(f"timm has no network '{name}'" + (f"; did you mean {', '.join(near)}?" if near else ""))


def load_matching(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load all weights of equal name and shape, and log the others."""
    own = network.state_dict()
    fitting = {name for name, value in weights.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict({name: weights[name] for name in fitting}, strict=False)
    missing, unused = sorted(own.keys() - fitting), sorted(weights.keys() - fitting)
    if missing or unused:
        notes = listed("missing", missing), listed("unused", unused)
        logger.warning("pretrained weights: %s", "; ".join(filter(None, notes)))


def fused_attention(network: nn.Module) -> list[Any]:
    """The modules whose attention is one call of torch; without `fused_attn` it is matrix products and a softmax."""
    return [module for module in network.modules() if getattr(module, "fused_attn", False)]


@contextmanager
def plain_attention(network: nn.Module) -> Iterator[None]:
    """timm's attention written out as matrix products and a softmax, inside the `with`."""
    fused = fused_attention(network)
    for module in fused:
        module.fused_attn = False
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True


def listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"


Three = tuple[float, float, float]


def pixel_statistics(network: nn.Module) -> tuple[Three, Three]:
    """Mean and standard deviation of pixels that the network expects: timm's where it has them."""
    config = getattr(network, "pretrained_cfg", None)
    if config is None:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    mean, std = config["mean"], config["std"]
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
