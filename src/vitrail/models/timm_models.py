"""Networks of timm by name, with weights by name or from a file when asked."""

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from vitrail.errors import ModelError, UsageError

logger = logging.getLogger(__name__)


def named(name: str, classes: int, pretrained: bool | str, drop_path: float, **others: Any) -> nn.Module:
    """timm's network `name` for these classes; ViTs are also told `img_size`, and which parts to take."""
    refuse_unknown(name)
    options: dict[str, Any] = {"num_classes": classes, **others}
    if drop_path:  # not every network has blocks to skip
        options["drop_path_rate"] = drop_path
    if isinstance(pretrained, str):
        if not Path(pretrained).is_file():
            raise ModelError(f"there is no weights file at {pretrained}")
        options["pretrained_cfg_overlay"] = {"file": pretrained}
    try:
        network: nn.Module = timm.create_model(name, pretrained=bool(pretrained), **options)
    except TypeError as fault:
        raise UsageError(f"timm's '{name}' cannot be built this way: {fault}") from fault
    except (OSError, RuntimeError) as fault:
        reason = str(fault).splitlines()[0]
        raise ModelError(
            f"the weights of '{name}' could not be loaded ({reason}): give a file as `pretrained`"
        ) from fault
    return network


def refuse_unknown(name: str) -> None:
    if not timm.is_model(name):
        near = get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        raise UsageError(f"timm has no network '{name}'" + (f"; did you mean {', '.join(near)}?" if near else ""))


def load_matching(network: nn.Module, there: Mapping[str, Tensor]) -> None:
    """Take over all weights that have the same name and shape, and say which the network has to learn itself."""
    here = network.state_dict()
    fitting = {name for name, value in there.items() if name in here and here[name].shape == value.shape}
    network.load_state_dict({name: there[name] for name in fitting}, strict=False)
    said = [told("they have no", sorted(here.keys() - fitting)), told("left unused", sorted(there.keys() - fitting))]
    if any(said):
        logger.warning("of the pretrained weights: %s", "; ".join(filter(None, said)))


def told(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"


Three = tuple[float, float, float]


def pixel_statistics(network: nn.Module) -> tuple[Three, Three]:
    """Mean and deviation of the pixels this network was made for: timm's where it names them."""
    config = getattr(network, "pretrained_cfg", None)
    if config is None:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    mean, std = config["mean"], config["std"]
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
