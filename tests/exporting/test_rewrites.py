"""Rewrites of the graph: equal outputs, fewer operators, and unknown structures unchanged."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from vitrail.exporting.graph import Graph, Opset, to_onnx
from vitrail.exporting.parity import by_file, by_network, cpu_session
from vitrail.images.canvas import InputRule
from vitrail.models import Architecture, ViT

CANVASES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
DEPTH = 3


def graph_of(architecture: Architecture) -> Graph:
    torch.manual_seed(0)
    return Graph(architecture.build(10, 32), InputRule(32), temperature=1.0).eval()


def vit(pool: str) -> ViT:
    return ViT(patch=8, width=48, depth=DEPTH, heads=3, pool=pool)  # type: ignore[arg-type]


def kinds(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


# Each operator set with a pool that is read differently; all of them in `make test-long`.
@pytest.mark.parametrize(
    ("opset", "pool"),
    [
        (23, "token"),
        (20, "map"),
        *(
            pytest.param(opset, pool, marks=pytest.mark.long)
            for opset in (23, 20)
            for pool in ("token", "mean", "max", "map")
            if (opset, pool) not in ((23, "token"), (20, "map"))
        ),
    ],
)
def test_rewrites_keep_the_outputs_in_every_batch(pool: str, opset: Opset) -> None:
    graph = graph_of(vit(pool))
    session = cpu_session(to_onnx(graph, opset))
    for count in (1, 3, 5):
        outputs, expected = by_file(session, CANVASES[:count]), by_network(graph, CANVASES[:count])
        np.testing.assert_allclose(outputs, expected, atol=2e-6)


def test_attention_is_one_operator_between_matrices() -> None:
    """One transpose for channels first, one to flatten the patches; none around attention."""
    counts = kinds(to_onnx(graph_of(vit("mean"))))
    assert (counts["Attention"], counts["Split"], counts["Transpose"]) == (DEPTH, DEPTH, 2)
    assert counts["Squeeze"] == 0


def test_the_last_block_computes_only_the_token_that_is_read() -> None:
    model = onnx.load_from_string(to_onnx(graph_of(vit("token"))))
    inferred = onnx.shape_inference.infer_shapes(model)
    rows = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in inferred.graph.value_info
        if len(value.type.tensor_type.shape.dim) == 3
    }
    weights = {tensor.name: numpy_helper.to_array(tensor).shape for tensor in model.graph.initializer}
    multiplied = [
        (weights[node.input[1]], rows[node.output[0]])
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in weights and node.output[0] in rows
    ]
    tokens = 1 + (32 // 8) ** 2
    block = [((48, 144), tokens), ((48, 48), tokens), ((48, 192), tokens), ((192, 48), tokens)]
    last = [((48, 144), tokens), ((48, 48), 1), ((48, 192), 1), ((192, 48), 1)]
    assert multiplied == block * (DEPTH - 1) + last


@pytest.mark.parametrize(
    "name",
    [
        "deit_tiny_distilled_patch16_224",
        pytest.param("vit_tiny_patch16_224", marks=pytest.mark.long),
        pytest.param("vit_small_patch16_dinov3", marks=pytest.mark.long),
        pytest.param("beit_base_patch16_224", marks=pytest.mark.long),
    ],
)
def test_other_attention_and_several_tokens_keep_their_outputs(name: str) -> None:
    """Distillation reads two tokens; rotary and relative positions are between the matrix and attention."""
    graph = graph_of(ViT(name=name))
    graph.network.blocks = graph.network.blocks[:2]  # the last, of which less is computed, and one before it
    outputs, expected = by_file(cpu_session(to_onnx(graph)), CANVASES), by_network(graph, CANVASES)
    np.testing.assert_allclose(outputs, expected, atol=1e-5 * max(1.0, float(expected.std())))
