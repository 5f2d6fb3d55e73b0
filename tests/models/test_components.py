"""A ViT with exchanged components: the default is timm's to the last operator; each combination works or is refused."""

import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitrail.attention import MECHANISMS, SelfAttention
from vitrail.attention.component import Setting
from vitrail.errors import UsageError
from vitrail.models import Architecture, ViT
from vitrail.models.components import BatchNorm
from vitrail.models.conformer import Conformer
from vitrail.models.heads import Cosine
from vitrail.models.network import logits_and_embedding
from vitrail.vectors.positions import NAMES, sincos2d

SMALL: dict[str, Any] = {"patch": 2, "width": 16, "depth": 2, "heads": 2}
WINDOW: dict[str, Setting] = {"name": "window", "reach": 1}
DILATED = {"name": "dilated", "reach": 1, "step": 2}
# On a grid of 4×4 a window is that small, and there are no gaps.
FORMS: list[dict[str, Any]] = [
    *({"attention": name} for name in MECHANISMS if name not in ("window", "dilated")),
    {"attention": WINDOW},
    {"attention": DILATED, "patch": 1},
    {"attention": {"name": "window", "reach": [1, 3]}, "patch": 1},
]
RIVALS: list[dict[str, Any]] = [
    {"attention": "fc"},
    {"attention": {"name": "fc", "reach": 1}, "positions": "sincos2d"},
    {"attention": "lstm", "pool": "token"},
    {"attention": "gru", "positions": "none", "norm": "batch"},
    {"attention": "lstm", "block": "conformer", "positions": "conditional"},
]

VARIANTS: list[dict[str, Any]] = [
    *FORMS,
    *({**form, "pool": "token"} for form in FORMS),
    *RIVALS,
    *({"positions": positions} for positions in NAMES),
    *({"positions": positions, "pool": "token"} for positions in NAMES),
    *({"pool": pool} for pool in ("token", "max", "map", "attentive")),
    {"head": "cosine"},
    {"block": "conformer"},
    {"block": "conformer", "pool": "token", "attention": WINDOW},
    {"norm": "batch"},
    {"patch": 1},
    {"stem": "overlapping"},
    {"stem": "overlapping", "pool": "token", "positions": "sincos2d", "start": "xavier"},
    {"stem": "conv"},
    {"stem": "conv", "pool": "token", "positions": "conditional", "start": "xavier"},
    {"stem": "hybrid"},
    {"stem": "hybrid", "pool": "token", "positions": "rope", "start": "xavier", "attention": WINDOW},
    {"block": "conformer", "positions": "conditional"},
    {"block": "conformer", "norm": "batch", "positions": "rope"},
    {"pool": "attentive", "head": "cosine", "norm": "batch"},
]


OF_POSITIONS = tuple(
    f"blocks.1.{name}" for name in ("attn.positions", "attn.balance", "attn.looks", "convolution", "positions")
)


def label(variant: dict[str, Any]) -> str:
    return "-".join(part["name"] if isinstance(part, dict) else str(part) for part in variant.values())


def built(variant: dict[str, Any], seed: int = 0, size: int = 8) -> VisionTransformer:
    torch.manual_seed(seed)
    network = ViT(**SMALL | variant).build(5, size)
    assert isinstance(network, VisionTransformer)
    return network


def pixels(size: int = 8, count: int = 3) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def operators(network: nn.Module, x: Tensor) -> list[str]:
    """The operators of a forward and backward pass, in order."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        network(x).sum().backward()
    return [event.name for event in profile.events()]


@pytest.mark.parametrize(("pool", "theirs"), [("token", "token"), ("mean", "avg"), ("max", "max"), ("map", "map")])
def test_the_default_is_timms_to_the_last_operator(pool: str, theirs: str) -> None:
    ours = built({"pool": pool})
    torch.manual_seed(0)
    timms = VisionTransformer(
        img_size=8,
        patch_size=2,
        num_classes=5,
        embed_dim=16,
        depth=2,
        num_heads=2,
        global_pool=theirs,  # type: ignore[arg-type]
        class_token=pool == "token",
    )
    assert [(name, type(module)) for name, module in ours.named_modules()] == [
        (name, type(module)) for name, module in timms.named_modules()
    ]
    assert list(ours.state_dict()) == list(timms.state_dict())
    assert all(map(torch.equal, ours.state_dict().values(), timms.state_dict().values()))  # drawn alike, too
    assert torch.equal(ours(pixels()), timms(pixels()))
    operators(ours, pixels())  # the first backward allocates gradients
    operators(timms, pixels())
    assert operators(ours, pixels()) == operators(timms, pixels())


def test_a_named_default_is_timms_to_the_last_operator() -> None:
    torch.manual_seed(0)
    ours = ViT(name="vit_tiny_patch16_224").build(5, 32).eval()
    torch.manual_seed(0)
    timms = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=32).eval()
    assert list(ours.state_dict()) == list(timms.state_dict())
    assert torch.equal(ours(pixels(32)), timms(pixels(32)))
    assert operators(ours, pixels(32)) == operators(timms, pixels(32))


def test_softmax_runs_torchs_fused_operator() -> None:
    for positions in ("learned", "relative", "rope"):
        assert "aten::scaled_dot_product_attention" in operators(built({"positions": positions}), pixels())


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_every_weight_is_trained(variant: dict[str, Any]) -> None:
    network = built(variant).train()
    start = {name: weights.detach().clone() for name, weights in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for _ in range(2):  # what starts at zero hides what is before it for one step
        optimizer.zero_grad()
        F.cross_entropy(network(pixels(count=8)), torch.arange(8) % 5).backward()
        assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in network.parameters())
        optimizer.step()
    still = {name for name, weights in network.named_parameters() if torch.equal(weights, start[name])}
    if variant.get("pool") == "token":  # the last block's class token has no position, and only it is read
        still = {name for name in still if not name.startswith(OF_POSITIONS)}
    if variant.get("attention") == "lstm":  # which reads it first of all, with an empty memory
        still -= {"blocks.1.attn.rnn.weight_hh_l0"}
    assert not still


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_a_variant_comes_back_from_plain_data_and_its_weights_fit(variant: dict[str, Any]) -> None:
    architecture = ViT(**SMALL | variant)
    assert Architecture.from_plain(architecture.to_plain()) == architecture
    network, again = built(variant).eval(), built(variant, seed=1)
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.eval()(pixels()), network(pixels()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_outputs_do_not_depend_on_the_rest_of_the_batch(variant: dict[str, Any]) -> None:
    network = built(variant)
    network.train()(pixels(count=8))  # statistics, where there are any
    network.eval()
    logits, embedding = logits_and_embedding(network, pixels())
    assert logits.shape == (3, 5)
    assert embedding.shape == (3, 16)
    torch.testing.assert_close(network(pixels()), logits)
    torch.testing.assert_close(network(pixels()[1:2]), logits[1:2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", NAMES)
@pytest.mark.parametrize("pool", ["mean", "token"])
def test_only_without_positions_a_shuffled_image_is_the_same(positions: str, pool: str) -> None:
    network = built({"positions": positions, "pool": pool}).double()
    with torch.no_grad():
        for weights in (*network.parameters(), *(network.buffers() if positions in ("sincos1d", "sincos2d") else ())):
            weights.mul_(5)  # as drawn, everything is small
    network.eval()
    x = pixels().double()
    patches = F.unfold(x, 2, stride=2)  # [B, 12, 16]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    shuffled = F.fold(patches[..., order], 8, 2, stride=2)
    difference = (network(shuffled) - network(x)).abs().max().item()
    assert difference < 1e-12 if positions == "none" else difference > 1e-4


def test_sincos2d_is_a_fixed_table_for_patch_tokens() -> None:
    network = built({"positions": "sincos2d", "pool": "token"})
    table = network.pos_embed
    assert table is not None
    assert torch.equal(table[0, 0], torch.zeros(16))
    assert torch.equal(table[0, 1:], sincos2d((4, 4), 16))
    assert "pos_embed" not in network.state_dict()
    assert not isinstance(table, nn.Parameter)


def test_conditional_positions_add_a_convolution_over_the_grid_to_each_blocks_input() -> None:
    network: Any = built({"positions": "conditional", "pool": "token"}).eval()
    assert network.pos_embed.shape == (1, 17, 16)
    x = torch.randn(2, 17, 16, generator=torch.Generator().manual_seed(0))
    for block in network.blocks:
        kernel, bias = block.positions.depthwise.weight, block.positions.depthwise.bias
        on_grid = x[:, 1:].transpose(1, 2).reshape(2, 16, 4, 4)
        added = F.conv2d(on_grid, kernel, bias, padding=1, groups=16).flatten(2).transpose(1, 2)
        given = torch.cat([x[:, :1], x[:, 1:] + added], dim=1)
        expected = given + block.attn(block.norm1(given))
        expected = expected + block.mlp(block.norm2(expected))
        torch.testing.assert_close(block(x), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("block", ["transformer", "conformer"])
def test_masked_vectors_do_not_affect_conditional_positions(block: str) -> None:
    first: Any = built({"positions": "conditional", "pool": "token", "block": block}).blocks[0].eval()
    x = torch.randn(2, 17, 16, generator=torch.Generator().manual_seed(0))
    seen = torch.arange(17).expand(2, 1, 1, 17) < 12
    other = x.clone()
    other[:, 12:] = 7.0
    torch.testing.assert_close(first(x, attn_mask=seen)[:, :12], first(other, attn_mask=seen)[:, :12])
    assert (first(x)[:, :12] - first(other)[:, :12]).abs().max() > 1e-3


@pytest.mark.parametrize("patch", [2, 4, 8])
def test_a_stem_of_convolutions_makes_the_grid_of_patches(patch: int) -> None:
    network = built({"patch": patch, "stem": "conv"}, size=16)
    assert network.patch_embed.grid_size == (16 // patch, 16 // patch)
    embedded = network.patch_embed.eval()(pixels(16))
    assert embedded.shape == (3, (16 // patch) ** 2, 16)
    kernels = [module for module in network.patch_embed.modules() if isinstance(module, nn.Conv2d)]
    channels = [(one.in_channels, one.out_channels, one.kernel_size[0]) for one in kernels]
    assert channels == [(3, 8, 3), (8, 16, 3), (16, 16, 3), (16, 16, 3), (16, 16, 3), (16, 16, 1)]


def test_a_cell_of_the_stem_is_where_its_patch_is() -> None:
    """Only pixels within reach of its kernels change a cell: one in a corner changes the cell of that corner."""
    stem = built({"patch": 4, "stem": "conv"}, size=32).patch_embed.eval()
    x = pixels(32)
    other = x.clone()
    other[:, :, 0, 31] += 1.0
    changed = (stem(other) - stem(x)).abs().amax(dim=(0, 2)).reshape(8, 8) > 1e-6
    assert changed[0, 7]
    assert not changed[4:].any()
    assert not changed[:, :4].any()


def test_xavier_starts_queries_keys_and_values_apart_and_the_head_at_zero() -> None:
    network: Any = built({"width": 64, "heads": 4, "start": "xavier"})
    block = network.blocks[1]
    for linear, outputs, inputs in ((block.attn.qkv, 64, 64), (block.attn.proj, 64, 64), (block.mlp.fc1, 256, 64)):
        bound = (6 / (outputs + inputs)) ** 0.5
        assert 0.97 * bound < linear.weight.abs().max() <= bound
        assert linear.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert not linear.bias.any()
    assert torch.equal(network(pixels()), torch.zeros(3, 5))
    attentive: Any = built({"pool": "attentive", "head": "cosine", "start": "xavier"})
    assert not attentive.attn_pool.score.weight.any()
    assert attentive.head.weight.abs().min() > 0


def test_components_replace_the_modules_of_timm() -> None:
    network = built({"attention": WINDOW, "norm": "batch", "block": "conformer", "head": "cosine", "pool": "token"})
    assert all(type(block).__mro__[1] is Conformer for block in network.blocks)
    attentions: list[Any] = [block.attn for block in network.blocks]
    assert {(a.grid, a.prefix, a.reach) for a in attentions} == {((4, 4), 1, 1)}
    assert isinstance(network.norm, BatchNorm)
    assert isinstance(network.head, Cosine)
    assert not [module for module in network.modules() if isinstance(module, nn.LayerNorm)]


def test_batch_norm_normalises_over_all_vectors_of_a_batch() -> None:
    norm = BatchNorm(8)
    x = 3 * torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0)) + 2
    actual = norm(x)
    torch.testing.assert_close(actual.mean(dim=(0, 1)), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(actual.var(dim=(0, 1), correction=0), torch.ones(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm.eval()(x[:1]), norm(x)[:1], atol=1e-6, rtol=0)
    torch.testing.assert_close(norm(x[:, 0]), norm(x)[:, 0], atol=1e-6, rtol=0)


def test_a_conformers_convolution_is_one_over_the_grid_and_leaves_class_tokens_alone() -> None:
    block: Any = built({"block": "conformer", "pool": "token"}).blocks[0].eval()
    inner = block.convolution
    x = torch.randn(2, 17, 16, generator=torch.Generator().manual_seed(0))
    actual = inner(x)
    assert torch.equal(actual[:, 0], torch.zeros(2, 16))
    value, gate = inner.widen(inner.norm(x[:, 1:])).chunk(2, dim=-1)
    on_grid = (value * gate.sigmoid()).transpose(1, 2).reshape(2, 16, 4, 4)
    convolved = F.conv2d(on_grid, inner.depthwise.weight, inner.depthwise.bias, padding=1, groups=16)
    expected = inner.project(F.silu(inner.batch_norm(convolved)).flatten(2).transpose(1, 2))
    torch.testing.assert_close(actual[:, 1:], expected, atol=1e-6, rtol=0)


def test_a_conformer_is_two_halves_of_an_mlp_around_attention_and_convolution() -> None:
    block: Any = built({"block": "conformer"}).blocks[0].eval()
    x = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = x + block.before(block.norm1(x)) / 2
    expected = expected + block.attn(block.norm2(expected))
    expected = expected + block.convolution(expected)
    expected = block.norm(expected + block.after(block.norm3(expected)) / 2)
    torch.testing.assert_close(block(x), expected)


def test_masked_vectors_do_not_affect_a_conformer() -> None:
    block: Any = built({"block": "conformer", "pool": "token"}).blocks[0].eval()
    x = torch.randn(2, 17, 16, generator=torch.Generator().manual_seed(0))
    seen = torch.arange(17).expand(2, 1, 1, 17) < 12
    other = x.clone()
    other[:, 12:] = 7.0
    torch.testing.assert_close(block(x, attn_mask=seen)[:, :12], block(other, attn_mask=seen)[:, :12])
    assert (block(x)[:, :12] - block(other)[:, :12]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (
            {"attention": "softmaxx"},
            r"no attention 'softmaxx' \(did you mean softmax\?\); there is softmax, additive, ",
        ),
        ({"attention": {"reach": 2}}, "which attention"),
        ({"attention": {"name": "window", "width": 4}}, "has no setting 'width'; it has reach"),
        ({"attention": {"name": "relu", "reach": 4}}, "has no setting 'reach', nor any other"),
        (
            {"attention": {"name": "window", "reach": "far"}},
            "must be a number like 3, or a list with one for each head, not 'far'",
        ),
        ({"attention": {"name": "window", "reach": 1.5}}, "a list with one for each head, not 1.5"),
        ({"attention": {"name": "window", "reach": True}}, "a list with one for each head, not True"),
        ({"attention": {"name": "window", "reach": []}}, r"like 3, or a list with one for each head, not \[\]"),
        ({"attention": {"name": "window", "reach": [1, 1.5]}}, r"one for each head, not \[1, 1.5\]"),
        ({"attention": {"name": "window", "reach": [1, 0]}}, r"reach of the attention window must be at least 1"),
        (
            {"attention": {"name": "window", "reach": [1, 2, 1]}},
            "3 reaches do not fit 2 heads: give one number for all",
        ),
        ({"attention": {"name": "fc", "reach": [1, 1]}}, r"must be a number like 0, not \[1, 1\]"),
        ({"attention": {"name": "window", "reach": 0}}, "reach of the attention window must be at least 1"),
        ({"attention": {"name": "inducing", "points": -1}}, "points of the attention inducing must be at least 1"),
        ({"attention": {"name": "graph", "neighbours": 5}}, "touches 4 others, or 8"),
        ({"positions": "sincos"}, r"no kind of positions 'sincos' \(did you mean sincos2d\?\); there is none, learned"),
        ({"positions": "relative", "attention": "linear"}, "linear attention scores no pairs"),
        (
            {"positions": "quadratic", "attention": "inducing"},
            r"other positions \(none, learned, sincos1d, sincos2d, conditional, shaw, floater, rope",
        ),
        ({"positions": "rope", "attention": "linear"}, "rotation by rope can make them negative"),
        ({"positions": "sincos2d", "width": 18}, "a width of 18 does not divide by 4"),
        ({"positions": "rope", "width": 12}, "the 6 features of a head must divide by 4"),
        ({"head": "round"}, "there is no head 'round'; there is linear, cosine"),
        ({"head": {"name": "cosine", "scale": 0}}, "scale of the head cosine must be above 0"),
        ({"head": {"name": "cosine", "margin": -0.1}}, "margin of the head cosine must be above 0"),
        ({"head": {"name": "cosine", "scale": float("nan")}}, "must be above 0, not nan"),
        ({"heads": 3}, "3 heads do not divide a width of 16"),
        ({"stem": "conv", "patch": 3}, "stands for patches of 2, 4, 8, not 3"),
        ({"stem": "convs"}, r"no stem 'convs' \(did you mean conv\?\); there is patches, overlapping, conv, hybrid"),
        ({"stem": "overlapping", "patch": 1}, "patches of one pixel cannot overlap"),
        ({"stem": {"name": "overlapping", "backbone": "resnet18"}}, "overlapping has no setting 'backbone', nor any"),
        ({"stem": "hybrid", "patch": 6}, "halves the image: choose a patch of 1, 2, 4, 8 or 16, not 6"),
        ({"stem": {"name": "hybrid", "backbone": "resnet81"}}, "timm has no network 'resnet81'; did you mean resnet"),
        ({"stem": {"name": "hybrid", "backbone": 18}}, "backbone of the stem hybrid must be a name, not 18"),
        ({"stem": "conv", "name": "vit_tiny_patch16_224"}, "has a stem and a start of its own"),
        ({"start": "xavier", "name": "vit_tiny_patch16_224"}, "has a stem and a start of its own"),
    ],
)
def test_invalid_components_are_refused_when_parsed(variant: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ViT(**SMALL | variant)


@pytest.mark.parametrize(
    ("attention", "span"), [("window", 7), ({"name": "window", "reach": [1, 2]}, 5), ("dilated", 9)], ids=str
)
def test_a_window_larger_than_the_grid_is_refused(attention: Any, span: int) -> None:
    with pytest.raises(UsageError, match=f"a window of {span} cells is larger than the 4×4 grid"):
        built({"attention": attention})
    assert built({"attention": attention}, size=18)(pixels(18)).shape == (3, 5)


def test_a_float_setting_accepts_an_integer() -> None:
    head: Any = built({"head": {"name": "cosine", "scale": 20, "margin": 0}}).head
    assert (head.scale, head.margin) == (20, 0)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "vit_tiny.pth"
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), path)
    return path


NAMED: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"attention": "relu"}, [], []),
    ({"attention": "linear"}, [], []),
    ({"attention": WINDOW}, [], []),
    ({"attention": DILATED}, [], []),
    ({"attention": "graph"}, [], []),
    ({"attention": "additive"}, ["attn.score"], []),
    ({"attention": "gpsa"}, ["attn.balance", "attn.looks"], []),
    ({"attention": "inducing"}, ["attn.gathered.bias", "attn.gathered.weight", "attn.points"], []),
    ({"positions": "none"}, [], ["pos_embed"]),
    ({"positions": "sincos2d"}, [], ["pos_embed"]),
    ({"positions": "rope"}, [], ["pos_embed"]),
    ({"positions": "conditional"}, ["positions.depthwise.bias", "positions.depthwise.weight"], []),
    ({"positions": "relative"}, ["attn.positions.table"], ["pos_embed"]),
    ({"positions": "quadratic"}, ["attn.positions.centre", "attn.positions.sharpness"], ["pos_embed"]),
]


@pytest.mark.parametrize(("variant", "new", "unused"), NAMED, ids=lambda value: str(value)[:40])
def test_timms_weights_load_by_name_and_the_rest_is_logged(
    variant: dict[str, Any], new: list[str], unused: list[str], weights_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = torch.load(weights_file, weights_only=True)
    with caplog.at_level(logging.WARNING, logger="vitrail"):
        network = ViT(name="vit_tiny_patch16_224", pretrained=str(weights_file), **variant).build(3, 80)
    loaded = network.state_dict()
    expected_new = {f"blocks.{block}.{name}" for block in range(12) for name in new}
    assert loaded.keys() - source.keys() == expected_new
    for name, value in source.items():
        if name not in ("pos_embed", "head.weight", "head.bias"):  # resampled for this image, made for these classes
            assert torch.equal(loaded[name], value), name
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("vitrail")]
    if not new and not unused:
        assert messages == []
        return
    (line,) = messages
    assert line.startswith("pretrained weights: ")
    assert ("missing blocks.0." in line) is bool(new)
    assert (f"unused {', '.join(unused)}" in line) is bool(unused)


def test_weights_missing_in_a_conformer_with_a_cosine_head_are_logged(
    weights_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="vitrail"):
        network = ViT(
            name="vit_tiny_patch16_224", pretrained=str(weights_file), block="conformer", head="cosine"
        ).build(3, 64)
    (line,) = (record.getMessage() for record in caplog.records if record.name.startswith("vitrail"))
    assert "missing blocks.0.after.fc1.bias" in line
    assert "unused blocks.0.mlp.fc1.bias" in line
    source = torch.load(weights_file, weights_only=True)
    assert torch.equal(network.state_dict()["blocks.3.attn.qkv.weight"], source["blocks.3.attn.qkv.weight"])


def test_only_plain_vits_take_components() -> None:
    with pytest.raises(UsageError, match="'swin_tiny_patch4_window7_224' is no plain Vision Transformer"):
        ViT(name="swin_tiny_patch4_window7_224", attention="relu").build(3, 224)


def test_components_of_a_named_network_have_its_grid() -> None:
    network: Any = ViT(name="vit_tiny_patch16_224", attention=WINDOW).build(3, 96)
    attention = network.blocks[0].attn
    assert isinstance(attention, SelfAttention)
    assert (attention.grid, attention.prefix, attention.num_heads) == ((6, 6), 1, 3)
