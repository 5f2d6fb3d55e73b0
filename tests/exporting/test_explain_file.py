"""The explain graph: evidence that adds up, timm's own attention, and no file if the check fails."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import timm
import torch
from timm.layers import Attention as TimmAttention
from timm.layers import AttentionRope
from timm.models.convnext import ConvNeXt
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer
from torch import Tensor, nn

from vitrail.cli import main
from vitrail.errors import ParityError
from vitrail.exporting import explain_file as module
from vitrail.exporting.attention_maps import attention_of
from vitrail.exporting.explain_file import (
    IMAGES,
    ExplainGraph,
    VerifiedExplanation,
    batches,
    by_file,
    evenly,
    explain,
    prove_explanation,
)
from vitrail.exporting.graph import Graph, to_onnx
from vitrail.images.canvas import InputRule
from vitrail.model_file.explanation import Attention
from vitrail.models import CNN, ViT
from vitrail.models.evidence import exact_evidence, mean_head, norm_of_the_mean, occlusion_grid, pooled_cells
from vitrail.models.small_cnn import SmallCNN

SMALL: dict[str, Any] = {"img_size": 8, "patch_size": 2, "num_classes": 10, "embed_dim": 32, "depth": 2, "num_heads": 4}
TINY_CONVNEXT: dict[str, Any] = {"num_classes": 10, "depths": (1, 1, 1, 1), "dims": (8, 8, 8, 16)}


def vit(**options: Any) -> VisionTransformer:
    return VisionTransformer(**SMALL | options)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "ours": (lambda: ViT(patch=2, width=32, depth=2, heads=4).build(10, 8), 8),
    "timm-avg": (lambda: vit(global_pool="avg", reg_tokens=2), 8),
    "small-cnn": (lambda: CNN(width=8, stages=2, blocks=1).build(10, 8), 8),
    "resnet": (lambda: CNN(name="resnet10t").build(10, 64), 64),
    "convnext": (lambda: CNN(name="convnext_atto").build(10, 64), 64),
    "token": (lambda: ViT(patch=2, width=32, depth=2, heads=4, pool="token").build(10, 8), 8),
    "attentive": (lambda: ViT(patch=2, width=32, depth=2, heads=4, pool="attentive").build(10, 8), 8),
    "relu": (lambda: ViT(patch=2, width=32, depth=2, heads=4, attention="relu").build(10, 8), 8),
    "linear": (lambda: ViT(patch=2, width=32, depth=2, heads=4, attention="linear", block="conformer").build(10, 8), 8),
    "conditional": (
        lambda: ViT(patch=2, width=32, depth=2, heads=4, stem="conv", positions="conditional").build(10, 8),
        8,
    ),
    "overlapping": (lambda: ViT(patch=2, width=32, depth=2, heads=4, stem="overlapping").build(10, 8), 8),
    "hybrid": (lambda: ViT(patch=2, width=32, depth=2, heads=4, stem="hybrid").build(10, 8), 8),
    "cosine": (lambda: ViT(patch=2, width=32, depth=2, heads=4, head="cosine").build(10, 8), 8),
}
EXACT = [name for name in NETWORKS if name not in ("token", "cosine")]
OFTEN = ("timm-avg", "small-cnn")  # with a norm behind the mean, and without
NORMED = ("ours", "convnext")
SOME = [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in EXACT]


def randomised(network: Any) -> Any:
    """Random norms, queries and head, as after training: with initial values a wrong formula could pass."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.LayerNorm | nn.BatchNorm2d) and part.weight is not None:
            nn.init.normal_(part.weight, 1.0, 0.5)
            nn.init.normal_(part.bias, 0.0, 0.5)
        if isinstance(part, TimmAttention):
            nn.init.normal_(part.qkv.weight, 0.0, 0.3)
    nn.init.normal_(network.get_classifier().weight, 0.0, 0.3)
    nn.init.normal_(network.get_classifier().bias, 0.0, 0.3)
    return network.eval()


def canvases(count: int, size: int) -> np.ndarray:
    """Panes of flat colour, so that cells differ from each other more than in noise."""
    panes = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return panes.repeat(size // 4, axis=1).repeat(size // 4, axis=2)


def graph_of(network: nn.Module, size: int, temperature: float = 1.0) -> Graph:
    return Graph(network, InputRule(size), temperature).eval()


def session_of(content: bytes) -> ort.InferenceSession:
    return ort.InferenceSession(content, providers=["CPUExecutionProvider"])


class Kit(NamedTuple):
    graph: Graph
    model: bytes
    main: ort.InferenceSession
    result: VerifiedExplanation
    session: ort.InferenceSession


@cache
def explained(name: str) -> Kit:
    """A network of the list, its model file and its explain file; the temperature must not touch the logits."""
    torch.manual_seed(0)
    build, size = NETWORKS[name]
    graph = graph_of(randomised(build()), size, temperature=2.5)
    model = to_onnx(graph)
    result = explain(graph, model, canvases(9, size))
    return Kit(graph, model, session_of(model), result, session_of(result.content))


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("name", SOME)
def test_the_mean_of_exact_evidence_is_the_logits_of_the_model_file(name: str, batch: int) -> None:
    graph, _, model, result, session = explained(name)
    assert result.graph.evidence.kind == "exact"
    images = canvases(8, graph.input.rule.size)[:batch]
    outputs, logits = by_file(session, images), by_file(model, images)["logits"]
    assert outputs["evidence"].shape == (batch, 10, *result.graph.evidence.grid)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=0, atol=1e-6 * np.abs(logits).max())
    scale = max(1.0, float(np.abs(outputs["evidence"]).max()))
    np.testing.assert_allclose(outputs["evidence"].mean(axis=(2, 3)), logits, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("name", SOME)
def test_evidence_differs_from_place_to_place(name: str) -> None:
    graph, _, _, _, session = explained(name)
    evidence = by_file(session, canvases(8, graph.input.rule.size))["evidence"]
    assert evidence.std(axis=(2, 3)).min() > 0.01 * np.abs(evidence).max()


@pytest.mark.parametrize("name", ["timm-avg", *(pytest.param(each, marks=pytest.mark.long) for each in NORMED)])
def test_normalising_each_place_separately_would_give_other_logits(name: str) -> None:
    """The file's formula differs from the head applied to each cell, which does not add up."""
    graph, _, model, _, _ = explained(name)
    images = canvases(8, graph.input.rule.size)
    head = mean_head(graph.network)
    assert head is not None
    assert head.norm is not None
    with torch.inference_mode():
        x = pooled_cells(head, graph.network.forward_features(graph.input(torch.from_numpy(images))))
        own = nn.functional.layer_norm(x, x.shape[2:], head.norm.weight, head.norm.bias, head.norm.eps)
        naive = head.linear(own).mean(dim=1).numpy()
    logits = by_file(model, images)["logits"]
    assert np.abs(naive - logits).max() > 0.05 * logits.std()


def test_the_mean_of_cells_is_normalised_as_layer_norm_does() -> None:
    norm = nn.LayerNorm(16, eps=1e-3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    bare = nn.LayerNorm(16, elementwise_affine=False).double()
    x = torch.randn(3, 5, 16, dtype=torch.double)
    for layer in (norm, bare):
        torch.testing.assert_close(norm_of_the_mean(layer, x).mean(dim=1), layer(x.mean(dim=1)), rtol=0, atol=1e-12)


def test_evidence_is_at_the_bright_pixel() -> None:
    """A network whose logits are the brightness of one cell."""
    network: Any = SmallCNN(2, width=3, stages=1, blocks=0).eval()
    with torch.no_grad():
        network.stem[0].weight.zero_()
        network.stem[0].weight[[0, 1, 2], [0, 1, 2], 1, 1] = 1.0
        network.head.weight[:] = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0]])
        network.head.bias.zero_()
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[0, 2, 6] = 255
    graph = graph_of(network, 8)
    evidence = by_file(session_of(explain(graph, to_onnx(graph), image).content), image)["evidence"][0]
    expected = np.zeros((2, 8, 8))
    expected[:, 2, 6] = 3.0, -1.0
    np.testing.assert_allclose(evidence, expected, atol=1e-4)


class Corner(nn.Module):
    """Sees rows 2 and 3, columns 10 and 11 of its canvas, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward_features(self, pixels: Tensor) -> Tensor:
        return pixels[:, :, 2:4, 10:12].flatten(1)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return features if pre_logits else self.head(features)

    def get_classifier(self) -> nn.Module:
        return self.head


def test_occlusion_changes_logits_only_where_the_network_looks() -> None:
    torch.manual_seed(0)
    graph = graph_of(Corner(), 14)
    images = np.random.default_rng(0).integers(0, 256, (5, 14, 14, 3), np.uint8)
    result = explain(graph, to_onnx(graph), images)
    assert (result.graph.evidence.kind, result.graph.evidence.grid) == ("approximate", (7, 7))
    assert result.parity.max_mean_error is None
    for batch in (1, 3, 5):
        outputs = by_file(session_of(result.content), images[:batch])
        expected = np.zeros((batch, 2, 7, 7))
        expected[:, :, 1, 5] = outputs["logits"] - graph.network.head.bias.detach().numpy()
        np.testing.assert_allclose(outputs["evidence"], expected, atol=1e-6)


def test_occluding_a_patch_of_a_vit_equals_painting_it_in_the_mean_colour() -> None:
    graph, _, _, result, session = explained("token")
    assert result.graph.evidence.kind == "approximate"
    image = canvases(1, 8)
    outputs = by_file(session, image)
    pixels = graph.input(torch.from_numpy(image))
    for row, column in ((0, 0), (1, 3), (3, 2)):
        painted = pixels.clone()
        painted[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 0
        with torch.inference_mode():
            without = graph.network(painted).numpy()
        fall = outputs["logits"] - without
        assert np.abs(fall).max() > 0.01
        np.testing.assert_allclose(outputs["evidence"][:, :, row, column], fall, atol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: vit(global_pool="token"),
        lambda: vit(global_pool="max"),
        lambda: vit(global_pool="map"),
        lambda: vit(global_pool="avgmax"),
        lambda: vit(global_pool="avg", pool_include_prefix=True),
        lambda: vit(global_pool="avg", norm_layer="rmsnorm"),
        lambda: ConvNeXt(**TINY_CONVNEXT, global_pool="max"),
        lambda: ConvNeXt(**TINY_CONVNEXT, head_hidden_size=12),
        lambda: CNN(name="efficientnet_b0").build(10, 32),
        lambda: CNN(width=8, stages=2, blocks=1, downsampling="pool").build(10, 8),
        lambda: timm.create_model("resnet10t", num_classes=10, global_pool="max"),
        lambda: timm.create_model("resnet10t", num_classes=10, global_pool="avgmax"),
    ],
)
def test_a_head_that_does_not_read_the_plain_mean_is_not_called_exact(build: object) -> None:
    assert mean_head(build()) is None  # type: ignore[operator]


@pytest.mark.parametrize(
    "build",
    [
        lambda: vit(global_pool="avg", fc_norm=False),
        lambda: vit(global_pool="avg", class_token=False, pool_include_prefix=True),
        lambda: vit(global_pool="avg", final_norm=False),
        lambda: ConvNeXt(**TINY_CONVNEXT, head_norm_first=True),
        lambda: ConvNeXt(**TINY_CONVNEXT),
    ],
)
def test_further_heads_that_read_the_plain_mean_add_up(build: object) -> None:
    torch.manual_seed(0)
    network = randomised(build())  # type: ignore[operator]
    graph = ExplainGraph(graph_of(network, 8 if isinstance(network, VisionTransformer) else 64)).eval()
    with torch.inference_mode():
        logits, evidence = graph(torch.from_numpy(canvases(4, graph.input.rule.size)))[:2]
    assert graph.evidence.kind == "exact"
    torch.testing.assert_close(evidence.mean(dim=(2, 3)), logits, rtol=0, atol=2e-6 * max(1.0, float(evidence.std())))


@pytest.mark.parametrize(("side", "cells"), [(8, 8), (14, 14), (16, 8), (32, 11)])
def test_many_patches_are_occluded_in_squares(side: int, cells: int) -> None:
    network = vit(img_size=side * 2, embed_dim=8, depth=1, num_heads=1)
    assert occlusion_grid(network, side * 2) == (cells, cells)


@pytest.mark.parametrize("name", ["ours", "timm-avg", "token"])
def test_attention_is_what_timms_own_unfused_attention_computes(name: str) -> None:
    graph, _, _, result, session = explained(name)
    images = canvases(3, 8)
    attention = by_file(session, images)["attention"]
    expected = unfused(graph, images)
    prefix = {"ours": 0, "timm-avg": 3, "token": 1}[name]
    assert result.graph.attention == Attention(layers=2, heads=4, prefix=prefix, grid=(4, 4))
    assert attention.shape == (3, 2, 4, prefix + 16, prefix + 16)
    np.testing.assert_allclose(attention.sum(axis=-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(attention, expected, atol=1e-5)
    assert attention.std() > 0.03


def unfused(graph: Graph, images: np.ndarray) -> np.ndarray:
    """The weights that enter timm's attention dropout, with SDPA switched off."""
    weights: list[Tensor] = []
    hooks = []
    for block in graph.network.blocks:
        block.attn.fused_attn = False
        hooks.append(block.attn.attn_drop.register_forward_pre_hook(lambda _, given: weights.append(given[0])))
    with torch.inference_mode():
        graph(torch.from_numpy(images))
    for block, hook in zip(graph.network.blocks, hooks, strict=True):
        block.attn.fused_attn = True
        hook.remove()
    return torch.stack(weights, dim=1).numpy()


def test_norms_of_queries_and_keys_are_part_of_attention() -> None:
    torch.manual_seed(0)
    network = randomised(vit(qk_norm=True))
    graph = graph_of(network, 8)
    images = canvases(2, 8)
    with torch.inference_mode():
        attention = ExplainGraph(graph).eval()(torch.from_numpy(images))[2]
    np.testing.assert_allclose(attention.numpy(), unfused(graph, images), atol=1e-6)


def test_networks_without_attention_have_no_such_output() -> None:
    _, _, _, result, session = explained("small-cnn")
    assert result.graph.attention is None
    assert result.parity.max_attention_error is None
    assert [output.name for output in session.get_outputs()] == ["logits", "evidence"]


class Rotated(AttentionRope):
    """Its attention depends on more than queries and keys of its input."""

    def __init__(self, dim: int, num_heads: int, **_: object) -> None:
        super().__init__(dim, num_heads)

    def forward(  # type: ignore[override]  # as the blocks of a ViT call it
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        outputs: Tensor = super().forward(x, None, attn_mask)
        return outputs


class Silent(TimmAttention):
    """A subclass whose attention may differ from its parent's."""


class Even(TimmAttention):
    """Returns its own weights: uniform attention."""

    def weights(self, x: Tensor) -> Tensor:
        return torch.full((len(x), self.num_heads, x.shape[1], x.shape[1]), 1 / x.shape[1])


@pytest.mark.parametrize(
    "build",
    [lambda: vit(attn_layer=Rotated), lambda: vit(attn_layer=Silent), lambda: vit(block_fn=ParallelScalingBlock)],
)
def test_unavailable_attention_is_left_out(build: Callable[[], nn.Module]) -> None:
    assert attention_of(build(), 8) is None


def test_attention_modules_with_a_weights_method_are_used() -> None:
    graph = ExplainGraph(graph_of(vit(attn_layer=Even).eval(), 8))
    with torch.inference_mode():
        attention = graph(torch.from_numpy(canvases(2, 8)))[2]
    assert attention.shape == (2, 2, 4, 17, 17)
    assert torch.equal(attention, torch.full_like(attention, 1 / 17))


def test_every_batch_size_is_verified_by_repeating_few_images() -> None:
    assert [len(batch) for batch in batches(canvases(IMAGES["exact"], 8))] == [1, 3] + 7 * [8]
    assert [len(batch) for batch in batches(canvases(IMAGES["approximate"], 8))] == [1, 3]
    assert evenly(5, 4).tolist() == [0, 1, 3, 4]
    assert sorted(set(evenly(2, 60).tolist())) == [0, 1]
    assert explained("ours").result.parity.images == 9


def test_an_explain_file_of_another_network_is_refused() -> None:
    _, model, _, result, _ = explained("small-cnn")
    other = graph_of(NETWORKS["small-cnn"][0]().eval(), 8)
    with pytest.raises(ParityError, match="logits of the explain file differ from the model file's"):
        prove_explanation(result.graph, result.content, to_onnx(other), canvases(4, 8))
    assert prove_explanation(result.graph, result.content, model, canvases(4, 8)).max_logit_error < 1e-5


def test_wrong_evidence_and_wrong_attention_are_refused() -> None:
    _, model, _, result, _ = explained("ours")
    for name, reason in (("evidence", "evidence of the explain file"), ("attention", "attention of the explain file")):
        with pytest.raises(ParityError, match=reason):
            prove_explanation(result.graph, shifted(result.content, name), model, canvases(4, 8))


def test_evidence_that_does_not_add_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = explained("small-cnn")
    monkeypatch.setattr(module, "exact_evidence", lambda *given: exact_evidence(*given) + 0.01)
    with pytest.raises(ParityError, match="the mean of the evidence differs from the logits"):
        explain(kit.graph, kit.model, canvases(4, 8))


def shifted(content: bytes, name: str) -> bytes:
    """The same file with 0.01 added to one output."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        node.output[:] = [f"{name}_before" if each == name else each for each in node.output]
        node.input[:] = [f"{name}_before" if each == name else each for each in node.input]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.01, np.float32), "shift"))
    model.graph.node.append(onnx.helper.make_node("Add", [f"{name}_before", "shift"], [name]))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("fault", ["logits", "evidence", "mean"])
def test_nan_never_passes(fault: str) -> None:
    change: dict[str, Any] = {f"max_{fault.removesuffix('s')}_error": float("nan")}
    parity = replace(explained("ours").result.parity, **change)
    with pytest.raises(ParityError, match="nan"):
        module.refuse_differences(parity, 1.0)


def test_neither_file_is_written_if_the_check_fails(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output, beside = tmp_path / "model.onnx", tmp_path / "model.explain.onnx"
    beside.write_text("an older explanation")
    monkeypatch.setattr(module, "BOUND", -1.0)
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(output), "--explain"]) == 1
    assert "logits of the explain file differ" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [beside]
    assert beside.read_text() == "an older explanation"
