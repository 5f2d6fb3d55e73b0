"""Lower precisions: how they are made, when they are refused, and which one is chosen."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from vitrail.data import Samples
from vitrail.errors import ParityError
from vitrail.exporting import precision
from vitrail.exporting.fp16 import to_fp16
from vitrail.exporting.graph import Graph, to_onnx
from vitrail.exporting.int8 import to_int8, to_int8_dynamic
from vitrail.exporting.parity import by_file, cpu_session, prove
from vitrail.exporting.precision import Candidate, Scales, accept, choose, fastest, neighbours_effect, reasons_against
from vitrail.images.canvas import InputRule
from vitrail.model_file.card import Precision, PrecisionKind
from vitrail.models import CNN, Architecture, ViT
from vitrail.tasks.intervals import wilson

SMALL = ViT(patch=8, width=64, depth=2, heads=2), CNN(width=16, stages=2, blocks=1)
RANDOM = np.random.default_rng(0)
CANVASES = RANDOM.integers(0, 256, (64, 32, 32, 3), np.uint8)


def graph_of(architecture: Architecture) -> Graph:
    torch.manual_seed(0)
    return Graph(architecture.build(4, 32), InputRule(32), temperature=1.0).eval()


@pytest.fixture(scope="module", params=SMALL, ids=lambda architecture: type(architecture).__name__)
def made(request: pytest.FixtureRequest) -> tuple[Graph, bytes]:
    graph = graph_of(request.param)
    return graph, to_onnx(graph)


def logits_of(model: bytes) -> np.ndarray:
    return by_file(cpu_session(model), CANVASES)


def test_half_precision_keeps_norms_and_softmax_in_float32(made: tuple[Graph, bytes]) -> None:
    full = made[1]
    half = to_fp16(full)
    assert len(half) < 0.75 * len(full)
    assert 0 < np.abs(logits_of(half) - logits_of(full)).max() < 0.01
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(half))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    for node in model.graph.node:
        if node.op_type in ("LayerNormalization", "Softmax"):
            assert types.get(node.input[0], onnx.TensorProto.FLOAT) == onnx.TensorProto.FLOAT
        if node.op_type == "Attention":
            (softmax,) = [one.i for one in node.attribute if one.name == "softmax_precision"]
            assert softmax == onnx.TensorProto.FLOAT
    assert {output.type.tensor_type.elem_type for output in model.graph.output} == {onnx.TensorProto.FLOAT}


def test_outputs_of_static_int8_do_not_depend_on_the_batch(made: tuple[Graph, bytes]) -> None:
    full = made[1]
    small = to_int8(full, CANVASES)
    assert len(small) < 0.5 * len(full)
    expected = logits_of(full)
    assert 0 < np.abs(logits_of(small) - expected).max() < 0.3 * max(1.0, float(expected.std()))
    assert neighbours_effect(cpu_session(small), CANVASES) < 1e-5


def test_outputs_of_dynamic_int8_depend_on_the_batch() -> None:
    model = to_int8_dynamic(to_onnx(graph_of(SMALL[0])))
    assert neighbours_effect(cpu_session(model), CANVASES) > 1e-4


def weighed(kind: PrecisionKind = "int8", **changes: object) -> Precision:
    """An acceptable precision, with changes."""
    sound = Precision(kind, 1000, wilson(1800, 2000), 0.0, 0.002, 0.0, {"1": 1.5, "8": 1.6}, "")
    return replace(sound, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scales() -> Scales:
    graph = graph_of(SMALL[0])
    model = to_onnx(graph)
    proof = prove(graph, model, CANVASES)
    test = Samples(CANVASES, proof.expected.argmax(1).astype(np.int64), ("",) * len(CANVASES))
    return Scales(Candidate("fp32", model, proof), graph, CANVASES, test, max_loss=0.005)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accuracy": wilson(1799, 1999)}, "fewer than 2,000 test images"),
        ({"loss_bound": 0.0051}, "may lose 0.51 points"),
        ({"batch_difference": 0.01}, "outputs depend on the batch"),
        ({"speed": {"1": 1.0, "8": 2.0}}, "not faster at batch 1"),
        ({"speed": {"1": 0.9, "8": 0.9}}, "not faster at batch 1 and 8"),
    ],
)
def test_each_reason_refuses_a_precision(scales: Scales, changes: dict[str, Any], reason: str) -> None:
    assert reasons_against(weighed(), scales.full.proof, 0.005) == []
    assert reasons_against(weighed(**changes), scales.full.proof, 0.005) == [reason]


def candidate(scales: Scales, precision: Precision) -> Candidate:
    return Candidate(precision.kind, b"", scales.full.proof, precision)


def test_auto_chooses_the_fastest_acceptable_precision_else_float32(scales: Scales) -> None:
    slow, fast = weighed("fp16", speed={"1": 1.2, "8": 1.2}), weighed("int8")
    lossy = weighed("int8-dynamic", speed={"1": 9.0, "8": 9.0}, loss_bound=0.02)
    candidates = [candidate(scales, one) for one in (slow, fast, lossy)]
    assert fastest(candidates, scales).kind == "int8"
    assert fastest(candidates[:1], scales).kind == "fp16"
    assert fastest(candidates[2:], scales) is scales.full


def test_a_named_precision_is_refused_only_for_its_loss(scales: Scales) -> None:
    assert accept(candidate(scales, weighed(speed={"1": 0.5, "8": 0.5}, loss_bound=0.02)), scales).kind == "int8"
    with pytest.raises(ParityError, match=r"int8 loses 2\.00 points"):
        accept(candidate(scales, weighed(loss=0.02, loss_bound=0.03)), scales)


def test_auto_keeps_float32_for_few_images_and_reports_the_candidates(scales: Scales) -> None:
    messages: list[str] = []
    chosen, all_weighed = choose("auto", scales, messages.append)
    assert chosen is scales.full
    assert (
        [one.kind for one in all_weighed] == ["fp16", "int8", "int8-dynamic"] == [line.split()[1] for line in messages]
    )
    for one in all_weighed:
        assert "fewer than 2,000 test images" in one.verdict
        assert one.accuracy.total == len(CANVASES)
        assert set(one.speed) == {"1", "8"}


def test_a_precision_with_other_predictions_is_refused(scales: Scales, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = to_onnx(graph_of(replace(SMALL[0], width=32)))
    monkeypatch.setattr(precision, "to_fp16", lambda model: spoilt)
    with pytest.raises(ParityError, match="points of accuracy"):
        choose("fp16", scales, lambda stage: None)
