"""Weight decay: every parameter of every shipped architecture is decayed or excluded by its name."""

import re
from typing import Any

import pytest
from torch import nn

from vitrail.attention import MECHANISMS
from vitrail.models import CNN, ViT
from vitrail.models.heads import HEADS
from vitrail.models.weight_decay import parameter_groups
from vitrail.rivals import RIVALS
from vitrail.tasks.task import TaskName
from vitrail.training.module import ImageModule
from vitrail.vectors.positions import NAMES

# The rule of the test knows names alone, the code modules alone. Each name must match one of its family's two patterns.
VIT_DECAYED = r"""
    (patch_embed|blocks\.\d+\.attn|attn_pool)\.proj\.weight
    patch_embed\.backbone\.([037]|[3-9]\.(conv[12]|downsample\.0))\.weight
    blocks\.\d+\.attn\.(qkv|gathered|window)\.weight
    blocks\.\d+\.attn\.rnn\.weight_[ih]h_l0(_reverse)?
    (blocks\.\d+|attn_pool)\.mlp\.fc[12]\.weight
    blocks\.\d+\.(before|after)\.fc[12]\.weight
    blocks\.\d+\.convolution\.(widen|depthwise|project)\.weight
    attn_pool\.(q|kv)\.weight
    head(\.classes)?\.weight
    head\.decoder\.layers\.\d+\.(self_attn|multihead_attn)\.(in_proj_|out_proj\.)weight
    head\.decoder\.layers\.\d+\.linear[12]\.weight
    head\.layers\.\d+\.(itself|cross)\.(query|key_value|output)\.weight
    head\.(layers\.\d+\.mlp|corners)\.fc[12]\.weight
"""
VIT_EXCLUDED = r"""
    .*(\.|_)bias
    blocks\.\d+\.attn\.rnn\.bias_[ih]h_l0(_reverse)?
    (.*\.)?(\w*norm\d?)\.weight
    pos_embed
    (cls|reg)_token
    patch_embed\.backbone\.([148]|[3-9]\.(bn[12]|downsample\.1))\.weight
    blocks\.\d+\.positions\.depthwise\.weight
    blocks\.\d+\.attn\.positions\.(table|centre|sharpness|starts|keys|values)
    blocks\.\d+\.attn\.positions\.flow\.(inner|outer)\.\d\.weight
    blocks\.\d+\.attn\.(balance|looks|score|points)
    attn_pool\.(latent|score\.weight)
    head\.(queries|places|labels)
    blocks\.\d+\.ls[12]\.gamma
"""
SMALL_CNN = (
    r"stem\.0\.weight  stages\.\d\.(conv[12]|downsample\.0)\.weight  head\.weight",
    r".*\.positions\.(centre|sharpness)  .*\.bias  stem\.1\.weight  stages\.\d\.(bn[12]|downsample\.1)\.weight",
)
POOLED_CNN = (
    r"stem\.0\.weight  stages\.(0|4\.conv[12]|5|9\.conv[12])\.weight  head\.weight",
    r".*\.bias  stem\.1\.weight  stages\.(1|4\.bn[12]|6|9\.bn[12])\.weight",
)
RESNET = (
    r"conv1\.weight  layer\d\.\d\.(conv[12]|downsample\.0)\.weight  fc\.weight",
    r".*\.bias  bn1\.weight  layer\d\.\d\.(bn[12]|downsample\.1)\.weight",
)
RESNET_ON_GRID = (
    r"backbone\.conv1\.[036]\.weight  backbone\.layer\d\.\d\.(conv[12]|downsample\.1)\.weight  head\.weight",
    r".*\.bias  backbone\.(conv1\.[14]|bn1)\.weight  backbone\.layer\d\.\d\.(bn[12]|downsample\.2)\.weight",
)
CONVNEXT = (
    r"stem\.0\.weight  stages\.\d\.downsample\.1\.weight  head\.fc\.weight"
    r"  stages\.\d\.blocks\.\d\.(conv_dw|mlp\.fc[12])\.weight",
    r".*\.bias  stem\.1\.weight  stages\.\d\.downsample\.0\.weight  head\.norm\.weight"
    r"  stages\.\d\.blocks\.\d\.(norm\.weight|gamma)",
)
SWIN = (
    r"patch_embed\.proj\.weight  layers\.\d\.downsample\.reduction\.weight  head\.fc\.weight"
    r"  layers\.\d\.blocks\.\d\.(attn\.(qkv|proj)|mlp\.fc[12])\.weight",
    r".*\.bias  (.*\.)?norm\d?\.weight  layers\.\d\.blocks\.\d\.attn\.relative_position_bias_table",
)

SETTINGS = {"window": {"name": "window", "reach": 1}, "dilated": {"name": "dilated", "reach": 1, "step": 1}}
TASKS: dict[str, TaskName] = {"linear": "classification", "cosine": "classification", "set": "multilabel"}
TASKS |= {"autoregressive": "sequence", "parallel": "sequence", "boxes": "detection"}


def small(**parts: Any) -> ViT:
    return ViT(patch=2, width=16, depth=2, heads=4, **parts)


# Each form with a parameter of its own that is not decayed: norms and biases are in all.
FORMS: list[tuple[ViT, TaskName, int, str]] = [
    *((small(attention=SETTINGS.get(name, name)), "classification", 8, r"pos_embed") for name in MECHANISMS),
    *((small(positions=name), "classification", 8, r".*norm\.weight") for name in NAMES),
    *((small(head=name), TASKS[name], 8, r"pos_embed") for name in HEADS),
    *((small(attention=name), "classification", 8, r"pos_embed") for name in RIVALS),
    (small(attention="additive"), "classification", 8, r"blocks\.1\.attn\.score"),
    (small(attention="gpsa"), "classification", 8, r"blocks\.1\.attn\.looks"),
    (small(attention="inducing"), "classification", 8, r"blocks\.1\.attn\.points"),
    (small(stem="overlapping"), "classification", 8, r"pos_embed"),
    (small(stem="conv"), "classification", 8, r"patch_embed\.backbone\.6\.bn2\.weight"),
    (small(stem="hybrid"), "classification", 8, r"patch_embed\.backbone\.5\.downsample\.1\.weight"),
    (small(positions="conditional"), "classification", 8, r"blocks\.1\.positions\.depthwise\.weight"),
    (small(positions="relative"), "classification", 8, r"blocks\.1\.attn\.positions\.table"),
    (small(positions="quadratic"), "classification", 8, r"blocks\.1\.attn\.positions\.centre"),
    (small(positions="floater"), "classification", 8, r"blocks\.1\.attn\.positions\.starts"),
    (small(positions="floater"), "classification", 8, r"blocks\.0\.attn\.positions\.flow\.outer\.1\.weight"),
    (small(pool="token"), "classification", 8, r"cls_token"),
    (small(pool="max"), "classification", 8, r"pos_embed"),
    (small(pool="map"), "classification", 8, r"attn_pool\.latent"),
    (small(pool="attentive"), "classification", 8, r"attn_pool\.score\.weight"),
    (small(head="set"), "multilabel", 8, r"head\.queries"),
    (small(head="autoregressive"), "sequence", 8, r"head\.labels"),
    (small(block="conformer", norm="batch"), "regression", 8, r"blocks\.1\.convolution\.batch_norm\.weight"),
    (small(), "dense", 8, r"pos_embed"),
    (ViT(name="vit_tiny_patch16_224"), "classification", 32, r"cls_token"),
    (
        ViT(name="vit_tiny_patch16_224", positions="relative"),
        "classification",
        32,
        r"blocks\.9\.attn\.positions\.table",
    ),
    (ViT(name="vit_small_patch14_reg4_dinov2"), "classification", 28, r"reg_token"),
]
CNNS: list[tuple[CNN, TaskName, int, tuple[str, str]]] = [
    (CNN(width=8, stages=2, blocks=1), "classification", 8, SMALL_CNN),
    (CNN(width=8, stages=2, blocks=1), "dense", 8, SMALL_CNN),
    (CNN(width=8, stages=2, blocks=1, layers="attention"), "classification", 8, SMALL_CNN),
    (CNN(width=8, stages=2, blocks=1, downsampling="pool"), "classification", 8, POOLED_CNN),
    (CNN(name="resnet18"), "classification", 32, RESNET),
    (CNN(name="resnet10t"), "dense", 32, RESNET_ON_GRID),
    (CNN(name="convnext_atto"), "classification", 32, CONVNEXT),
    (CNN(name="swin_tiny_patch4_window7_224"), "classification", 224, SWIN),
]


def form(value: Any) -> str | None:
    """The settings of an architecture that differ from its defaults."""
    if not isinstance(value, ViT | CNN):
        return value if isinstance(value, str) else ""
    return ",".join(f"{name}={chosen}" for name, chosen in vars(value).items() if chosen != vars(type(value)())[name])


def decayed_by_name(network: nn.Module, decayed: str, excluded: str) -> dict[str, bool]:
    """The decision of the two patterns for each parameter; undecided if it matches neither or both."""
    verdicts = {}
    for name, _ in network.named_parameters():
        verdict = [any(re.fullmatch(one, name) for one in patterns.split()) for patterns in (decayed, excluded)]
        assert sum(verdict) == 1, f"{name} matches {sum(verdict)} of the two patterns"
        verdicts[name] = verdict[0]
    return verdicts


def decayed_by_optimizer(network: nn.Module, groups: list[dict[str, Any]]) -> dict[str, bool]:
    decay = {id(one): group["weight_decay"] > 0 for group in groups for one in group["params"]}
    return {name: decay[id(one)] for name, one in network.named_parameters()}


@pytest.mark.parametrize(("architecture", "task", "size", "excluded"), FORMS, ids=form)
def test_of_a_vit_only_matrices_are_decayed(architecture: ViT, task: TaskName, size: int, excluded: str) -> None:
    network = architecture.build(3, size, task)
    expected = decayed_by_name(network, VIT_DECAYED, VIT_EXCLUDED)
    assert decayed_by_optimizer(network, parameter_groups(network, 0.1)) == expected
    assert [name for name, decayed in expected.items() if re.fullmatch(excluded, name) and not decayed]


@pytest.mark.parametrize(("architecture", "task", "size", "patterns"), CNNS, ids=form)
def test_of_a_cnn_only_kernels_and_matrices_are_decayed(
    architecture: CNN, task: TaskName, size: int, patterns: tuple[str, str]
) -> None:
    network = architecture.build(3, size, task)
    expected = decayed_by_name(network, *patterns)
    assert decayed_by_optimizer(network, parameter_groups(network, 0.1)) == expected


def test_the_optimizer_has_these_groups() -> None:
    module = ImageModule(small(positions="relative", pool="token"), 3, 8)
    optimizer = module.optimizer(parameter_groups(module.net, module.decay))
    expected = decayed_by_name(module.net, VIT_DECAYED, VIT_EXCLUDED)
    assert decayed_by_optimizer(module.net, optimizer.param_groups) == expected
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.01}
