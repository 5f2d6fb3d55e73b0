"""Weights that contenders start from: where their files are, and the hashes that make them a part of the plan."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import timm

from vitrail.data.file_digests import FileDigests
from vitrail.errors import DataError, ModelError, UsageError
from vitrail.models.timm_models import from_hub, refuse_unknown, weights_at
from vitrail.training.study.plan import Contender, Plan

ENDING = ".safetensors"


def with_weights(plan: Plan, folder: Path | None) -> Plan:
    """The plan with the hash of every file that a contender starts from; those to fetch are taken from the folder."""
    if folder is not None and not folder.is_dir():
        raise UsageError(f"there is no folder of weights at {folder}")
    placed = (one if folder is None else placed_in(folder, one) for one in plan.contenders)
    return replace(plan, contenders=tuple(replace(one, weights=hash_of_weights(one)) for one in placed))


def placed_in(folder: Path, contender: Contender) -> Contender:
    """With `pretrained: true`, the file called after the network; the tag after its point may be left out."""
    net = contender.model["net"]["init_args"]
    name = net.get("name")
    if name is None or net.get("pretrained") is not True:
        return contender
    files = [folder / f"{one}{ENDING}" for one in dict.fromkeys((name, name.partition(".")[0]))]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise UsageError(f"'{contender.name}' starts from weights of {name}: there is no {files[0]}")
    return contender.with_net(pretrained=str(found))


def refuse_other_weights(contender: Contender) -> None:
    """On every machine a contender starts from the weights of the plan."""
    if contender.weights != hash_of_weights(contender):
        raise DataError(f"the weights of '{contender.name}' are not those of the plan")


def hash_of_weights(contender: Contender) -> str | None:
    """SHA-256 of the file that a contender starts from; None from scratch. A file is hashed anew once it changes."""
    file = weights_file(contender.model["net"]["init_args"])
    return None if file is None else FileDigests(file.parent).of([file.name])[0].tobytes().hex()


def weights_file(net: dict[str, Any]) -> Path | None:
    """The file that a network starts from; weights of a network of timm that are in no file are fetched."""
    name, pretrained = net.get("name"), net.get("pretrained")
    if not pretrained or (pretrained is True and name is None):  # which its class refuses
        return None
    return fetched(name) if pretrained is True and name is not None else weights_at(str(pretrained))


@cache
def fetched(name: str) -> Path:
    """The file of timm's weights for a network in the cache of the Hugging Face Hub, where timm finds it, too."""
    refuse_unknown(name)
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise ModelError(f"timm has no weights of '{name}' on the Hugging Face Hub: give a file as `pretrained`")
    return from_hub(config.hf_hub_id)
