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
from vitrail.models.heads import ValueHead
from vitrail.models.input import Input
from vitrail.models.network import logits_and_embedding
from vitrail.models.timm_models import plain_attention
from vitrail.tasks import TASKS, Classification
from vitrail.tasks.task import ProbabilityTask, TaskName
from vitrail.tasks.training import TRAINING_TASKS

# 23 has Attention as one operator; 20 is for programs with an older onnxruntime. Measured in docs/benchmarks.md.
Opset = Literal[20, 23]
OPSET: Opset = 23
TEMPERATURE = "temperature"
OUTPUTS = Classification.outputs


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

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 [N, H, W, 3] → probabilities and logits, [N, K] or [N, h, w, K], or values [N, K]; embedding [N, D]."""
        raw, embedding = logits_and_embedding(self.network, self.input(image))
        if not isinstance(self.task, ProbabilityTask):
            return raw, embedding
        probabilities = TRAINING_TASKS[self.task.name].predictions(raw / self.temperature)
        return probabilities, raw, embedding


def to_onnx(graph: Graph, opset: Opset = OPSET) -> bytes:
    """The graph as ONNX with batch, height and width left open."""
    if graph.network.training:
        raise ModelError("the network is in training mode: dropout and batch statistics would go into the file")
    return trace(graph, graph.input.rule.size, graph.task.outputs, opset)


def set_temperature(model: bytes, temperature: float) -> bytes:
    """The same graph at another temperature, which is an initializer of its own."""
    content = onnx.load_from_string(model)
    (number,) = (tensor for tensor in content.graph.initializer if tensor.name == TEMPERATURE)
    number.CopyFrom(onnx.numpy_helper.from_array(np.array(temperature, np.float32), TEMPERATURE))
    changed: bytes = content.SerializeToString()
    return changed


def trace(graph: nn.Module, size: int, outputs: Sequence[str], opset: Opset = OPSET) -> bytes:
    """A module from `image` to these outputs as ONNX, traced on images that are not canvases."""
    example = torch.zeros((2, size * 3 // 2 + 1, size * 2, 3), dtype=torch.uint8)
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


def run_exporter(graph: nn.Module, example: Tensor, outputs: Sequence[str], opset: Opset) -> ir.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=opset,
            input_names=["image"],
            output_names=list(outputs),
            dynamic_shapes={"image": {0: Dim("batch"), 1: Dim("height"), 2: Dim("width")}},
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch.onnx gave no graph for this network")
    return program.model
