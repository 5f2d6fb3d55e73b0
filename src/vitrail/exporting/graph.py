"""The graph that is exported: images of any size in, the outputs of its task out."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim
from torch.onnx import OnnxExporterError

from vitrail.errors import ModelError
from vitrail.exporting.rewrites import apply_rewrites
from vitrail.images.canvas import InputRule
from vitrail.images.patches import Images, inputs_of
from vitrail.models.heads import ValueHead
from vitrail.models.input import Input
from vitrail.models.network import logits_and_embedding
from vitrail.models.timm_models import plain_attention
from vitrail.tasks import TASKS, Classification
from vitrail.tasks.task import ProbabilityTask, TaskName
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.vectors.sets import VectorSet

# 23 has Attention as one operator; 20 is for programs with an older onnxruntime. Measured in docs/benchmarks.md.
Opset = Literal[20, 23]
OPSET: Opset = 23
TEMPERATURE = "temperature"
OUTPUTS = Classification.outputs
# The dimensions of each input that stay open.
OPEN = {
    "image": {0: "batch", 1: "height", 2: "width"},
    "vectors": {0: "batch", 1: "vectors"},
    "patches": {0: "batch", 1: "vectors"},
    "positions": {0: "batch", 1: "vectors"},
    "mask": {0: "batch", 1: "vectors"},
}
Inputs = dict[str, Tensor]


class Graph(nn.Module):
    """Input rule, network and temperature as one module."""

    temperature: Tensor

    def __init__(
        self, network: nn.Module, rule: InputRule, temperature: float, task: TaskName = "classification"
    ) -> None:
        super().__init__()
        self.input = Input(rule)
        self.network: Any = network
        self.task = TASKS[task]
        self.register_buffer(TEMPERATURE, torch.tensor(float(temperature)), persistent=False)

    @property
    def units(self) -> NDArray[np.float32]:
        """Units in which outputs are compared: logits as they are, each value by its deviation."""
        head = self.network.get_classifier()
        return head.deviation.numpy() if isinstance(head, ValueHead) else np.ones(1, np.float32)

    def differences(self, expected: NDArray[np.float32], actual: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of two computations of the raw output, in its units."""
        return self.task.differences(expected, actual) / self.units

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 [N, H, W, 3] → probabilities and logits, or values, [N, …] as the task has them; embedding [N, D]."""
        return self.outputs(self.input(image))

    def run(self, canvases: Images) -> dict[str, NDArray[np.float32]]:
        """The outputs for canvases, by name."""
        inputs = inputs_of(canvases, self.input.rule.patch)
        with torch.inference_mode():
            outputs = self(**{name: torch.from_numpy(part) for name, part in inputs.items()})
        return {name: output.numpy() for name, output in zip(self.task.outputs, outputs, strict=True)}

    def outputs(self, pixels: Tensor | VectorSet) -> tuple[Tensor, ...]:
        raw, embedding = logits_and_embedding(self.network, pixels)
        if not isinstance(self.task, ProbabilityTask):
            return raw, embedding
        probabilities = TRAINING_TASKS[self.task.name].predictions(raw / self.temperature)
        return probabilities, raw, embedding


class PatchGraph(Graph):
    """The same for images at their own shapes, as sets of patches."""

    def forward(self, patches: Tensor, positions: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """uint8 [N, T, patch · patch · 3], rows and columns int64 [N, T, 2], and what is no padding [N, T]."""
        return self.outputs(self.input.normalised(VectorSet(patches, mask, positions)))


class VectorGraph(Graph):
    """The same for sets of vectors of anything else."""

    def forward(self, vectors: Tensor, positions: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """float32 [N, T, width], places int64 [N, T, 2], and what is no padding [N, T]."""
        return self.outputs(self.input.normalised(VectorSet(vectors, mask, positions)))


def graph_of(network: nn.Module, rule: InputRule, temperature: float, task: TaskName) -> Graph:
    kind = VectorGraph if rule.width is not None else PatchGraph if rule.is_native else Graph
    return kind(network, rule, temperature, task).eval()


def to_onnx(graph: Graph, opset: Opset = OPSET) -> bytes:
    """The graph as ONNX with batch, height and width, or number of vectors, left open."""
    if graph.network.training:
        raise ModelError("the network is in training mode: dropout and batch statistics would go into the file")
    rule = graph.input.rule
    return trace(graph, example_of(rule), graph.task.outputs, opset)


def set_temperature(model: bytes, temperature: float) -> bytes:
    """The same graph at another temperature, which is an initializer of its own."""
    content = onnx.load_from_string(model)
    (number,) = (tensor for tensor in content.graph.initializer if tensor.name == TEMPERATURE)
    number.CopyFrom(onnx.numpy_helper.from_array(np.array(temperature, np.float32), TEMPERATURE))
    changed: bytes = content.SerializeToString()
    return changed


def example_of(rule: InputRule) -> Inputs:
    """Inputs that a graph is traced on: images that are not canvases, or sets of different numbers of vectors."""
    if not rule.is_native:
        return {"image": torch.zeros((2, rule.size * 3 // 2 + 1, rule.size * 2, 3), dtype=torch.uint8)}
    sets: list[NDArray[Any]]
    if rule.patch is None:
        sets = [np.zeros((count, rule.width or 1), np.float32) for count in (6, 15)]
    else:
        sets = [np.zeros((rows * rule.patch, 3 * rule.patch, 3), np.uint8) for rows in (2, 5)]
    return {name: torch.from_numpy(part) for name, part in inputs_of(sets, rule.patch).items()}


def trace(graph: nn.Module, example: Inputs, outputs: Sequence[str], opset: Opset = OPSET) -> bytes:
    """A module from inputs like these, by name, to these outputs as ONNX."""
    for package in ("torch.onnx", "onnxscript"):
        logging.getLogger(package).setLevel(logging.ERROR)
    try:
        model = run_exporter(graph, example, outputs, opset)
    except OnnxExporterError:  # torch cannot decompose every fused attention, for example BEiT's
        with plain_attention(graph):
            model = run_exporter(graph, example, outputs, opset)
    apply_rewrites(model)
    content: bytes = ir.to_proto(model).SerializeToString()
    return content


def run_exporter(graph: nn.Module, example: Inputs, outputs: Sequence[str], opset: Opset) -> ir.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            tuple(example.values()),
            dynamo=True,
            opset_version=opset,
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes={name: {axis: Dim(open_) for axis, open_ in OPEN[name].items()} for name in example},
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch.onnx gave no graph for this network")
    return program.model
