"""The graph for canvases alone: the same outputs, nothing resized, and other sizes refused; and the ways on a GPU."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from vitrail.errors import ModelError, ProviderError
from vitrail.images.golden import mosaic
from vitrail.model_file import canvas_graph as module
from vitrail.model_file import classifier
from vitrail.model_file.canvas_graph import canvas_graph, resize_of_input
from vitrail.model_file.classifier import Classifier
from vitrail.runtime.bound import BoundGraph
from vitrail.runtime.providers import PROVIDERS, load_faults

CANVASES = np.stack([mosaic(4, seed, 8, 8) for seed in range(3)])


def session_of(model: bytes) -> Any:
    return ort.InferenceSession(model, providers=[PROVIDERS["cpu"]])


def test_outputs_are_the_same_and_other_sizes_are_refused(model_file: Path) -> None:
    model = Classifier(model_file, "cpu")
    cut = canvas_graph(model_file, 8)
    assert resize_of_input(onnx.load(model_file).graph) is not None
    assert "Resize" not in {node.op_type for node in onnx.load_from_string(cut).graph.node}
    session = session_of(cut)
    for actual, expected in zip(
        session.run(model.task.outputs, {"image": CANVASES}),
        model.session.run(model.task.outputs, {"image": CANVASES}),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected)
    with pytest.raises(load_faults()):
        session.run(None, {"image": np.zeros((1, 9, 8, 3), np.uint8)})


def test_a_resize_within_the_network_stays() -> None:
    """As of a position embedding: only that of the input is cut."""
    helper = onnx.helper
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2]),
            node("Relu", ["turned"], ["features"]),
            node("Resize", ["features", "", "", "sizes"], ["out"]),
        ],
        "inner",
        [helper.make_tensor_value_info("image", 1, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("out", 1, None)],
    )
    assert resize_of_input(graph) is None


def test_without_onnx_it_says_what_to_install(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ProviderError, match=r"onnx is installed: pip install 'vitrail\[gpu\]'"):
        canvas_graph(model_file, 8)


class OnGPU:
    """A model as it would be on CUDA, whose sessions compute on the CPU."""

    def __init__(self, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = Classifier(model_file, "cpu", 1)
        self.model.provider = PROVIDERS["cuda"]
        self.opened: list[tuple[str, Any]] = []
        monkeypatch.setattr(classifier, "open_session", self.open)
        monkeypatch.setattr(
            classifier, "BoundGraph", lambda session, size, outputs, device, captures: BoundGraph(
                session, size, outputs, "cpu", captures=captures
            )
        )  # fmt: skip

    def open(self, model: bytes, provider: str, threads: int | None, options: Any) -> Any:
        self.opened.append((provider, options))
        return session_of(model)


def test_on_a_gpu_graphs_are_captured(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = OnGPU(model_file, monkeypatch)
    graph = on_gpu.model.graph_on_gpu("cuda")
    assert isinstance(graph, BoundGraph)
    assert (graph.captures, on_gpu.model.fallbacks) == (True, [])
    assert on_gpu.opened == [("cuda", {"enable_cuda_graph": "1"})]
    assert graph.session is not on_gpu.model.session


def test_where_graphs_cannot_be_captured_memory_still_stays(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = OnGPU(model_file, monkeypatch)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    graph = on_gpu.model.graph_on_gpu("cuda")
    assert isinstance(graph, BoundGraph)
    assert (graph.captures, graph.session) == (False, on_gpu.model.session)
    assert on_gpu.model.fallbacks == ["graphs are captured where onnx is installed: pip install 'vitrail[gpu]'"]


def test_where_nothing_can_stay_the_session_computes(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = OnGPU(model_file, monkeypatch)

    def fails(graph: BoundGraph, size: int) -> Any:
        raise ModelError("no memory\nand more lines")

    monkeypatch.setattr(BoundGraph, "prepared", fails)
    assert on_gpu.model.graph_on_gpu("cuda") is on_gpu.model.session
    assert on_gpu.model.fallbacks == ["no memory", "no memory"]


def test_engines_of_tensorrt_are_not_captured(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = OnGPU(model_file, monkeypatch)
    on_gpu.model.provider = PROVIDERS["tensorrt"]
    graph = on_gpu.model.graph_on_gpu("tensorrt")
    assert isinstance(graph, BoundGraph)
    assert not graph.captures
    assert on_gpu.opened == []
