"""Ways to compute the same network: our file, peers' files, and torch itself."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from vitrail.bench.infer.network import Batch
from vitrail.errors import ParityError
from vitrail.exporting.graph import OUTPUTS
from vitrail.images.canvas import InputRule
from vitrail.runtime.openvino import CompiledGraph
from vitrail.runtime.providers import session_options

Logits = NDArray[np.float32]
BOUND = 1e-4  # of logits, times their deviation where that is above 1
BF16 = 1e-1  # 8 bits of mantissa through a dozen blocks

CANVASES = "uint8 canvases, normalised in the graph"
PIXELS = "float pixels, normalised before the clock starts"
NORMALISED = "uint8 canvases, normalised by numpy on the clock"


@dataclass(frozen=True)
class GraphFile:
    """Size and kind of an ONNX file."""

    bytes: int
    nodes: int
    opset: int
    export_seconds: float


@dataclass(frozen=True)
class Bound:
    """A contender with its batch: the call that is timed, and how to read the logits from its result."""

    step: Callable[[], Any]
    logits: Callable[[Any], Logits]


@dataclass(frozen=True)
class Contender:
    """One way to compute the network."""

    name: str
    takes: str
    bind: Callable[[Batch], Bound]
    file: GraphFile | None = None
    bound: float = BOUND


def describe_file(path: Path, export_seconds: float) -> GraphFile:
    model = onnx.load(path)
    opset = next(used.version for used in model.opset_import if used.domain in ("", "ai.onnx"))
    return GraphFile(path.stat().st_size, len(model.graph.node), opset, export_seconds)


def open_session(path: Path, threads: int, spinning: bool = False) -> Any:
    return ort.InferenceSession(
        str(path), session_options(threads, spinning=spinning), providers=["CPUExecutionProvider"]
    )


def our_file(name: str, path: Path, threads: int, file: GraphFile, spinning: bool = False) -> Contender:
    """Called as `Classifier` calls it: all three outputs."""
    session = open_session(path, threads, spinning)

    def bind(batch: Batch) -> Bound:
        return Bound(lambda: session.run(list(OUTPUTS), {"image": batch.canvases}), lambda outputs: outputs[1])

    return Contender(name, CANVASES, bind, file)


def our_file_in_openvino(provider: str, name: str, path: Path, size: int, threads: int, file: GraphFile) -> Contender:
    """Called as `Classifier` calls it for canvases."""
    graph = CompiledGraph(path, size, provider, threads)

    def bind(batch: Batch) -> Bound:
        return Bound(lambda: graph.run(list(OUTPUTS), {"image": batch.canvases}), lambda outputs: outputs[1])

    return Contender(name, CANVASES, bind, file, bound=BF16 if provider == "openvino-bf16" else BOUND)


def peer_file(name: str, path: Path, threads: int, file: GraphFile) -> Contender:
    """A file that takes normalised pixels; they are made before the clock starts, in its favour."""
    session = open_session(path, threads)
    input_name = session.get_inputs()[0].name

    def bind(batch: Batch) -> Bound:
        return Bound(lambda: session.run(None, {input_name: batch.pixels}), lambda outputs: outputs[0])

    return Contender(name, PIXELS, bind, file)


def peer_file_from_canvases(name: str, path: Path, threads: int, file: GraphFile, rule: InputRule) -> Contender:
    """The same file after the preprocessing that our file does in its graph."""
    session = open_session(path, threads)
    input_name = session.get_inputs()[0].name

    def bind(batch: Batch) -> Bound:
        return Bound(
            lambda: session.run(None, {input_name: normalise(batch.canvases, rule)}), lambda outputs: outputs[0]
        )

    return Contender(name, NORMALISED, bind, file)


def normalise(canvases: NDArray[np.uint8], rule: InputRule) -> NDArray[np.float32]:
    """uint8 [N, H, W, 3] → float [N, 3, H, W], one multiplication and one addition each."""
    mean, std = (np.array(numbers, np.float32).reshape(3, 1, 1) for numbers in (rule.mean, rule.std))
    pixels: NDArray[np.float32] = np.multiply(canvases.transpose(0, 3, 1, 2), 1 / (255 * std), order="C")
    pixels -= mean / std
    return pixels


def torch_contender(
    name: str, network: nn.Module, compiled: bool, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Contender:
    """torch itself; compiled for each batch size, which is faster than dynamic shapes."""
    network = deepcopy(network).to(device, dtype)
    forward: Callable[[Any], Any] = torch.compile(network, dynamic=False) if compiled else network

    def bind(batch: Batch) -> Bound:
        pixels = torch.from_numpy(batch.pixels).to(device, dtype)

        def step() -> Any:
            with torch.inference_mode():
                logits = forward(pixels)
            if device == "cuda":
                torch.cuda.synchronize()
            return logits

        return Bound(step, lambda logits: logits.float().cpu().numpy())

    takes = PIXELS if device == "cpu" else f"{PIXELS}, on the GPU"
    return Contender(name, takes, bind, bound=BF16 if dtype is torch.bfloat16 else BOUND)


def logit_error(contender: Contender, bound: Bound, expected: Logits) -> float:
    """The largest difference to the network's logits; raises where the contender computes another function."""
    logits = bound.logits(bound.step())
    if logits.shape != expected.shape:
        raise ParityError(f"{contender.name} returns shape {logits.shape} instead of {expected.shape}")
    error = float(np.abs(logits - expected).max())
    allowed = contender.bound * max(1.0, float(expected.std()))
    if not error <= allowed:
        raise ParityError(f"{contender.name} computes another function: its logits differ by {error:.2e}")
    return error
