"""OpenVINO beside onnxruntime: the same model file, compiled for this CPU, for canvases of one size."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import ModelError, ProviderError

OPENVINO = {"openvino": "OpenVINO", "openvino-bf16": "OpenVINO bf16"}  # provider → its name beside onnxruntime's
PRECISIONS = {"openvino": "f32", "openvino-bf16": "bf16"}  # of what the file does not itself compute in integers


def has_openvino() -> bool:
    return find_spec("openvino") is not None


def computes_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; elsewhere OpenVINO would silently compute in float32."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def require_openvino(provider: str) -> None:
    """Check what a provider requested by name needs."""
    if not has_openvino():
        raise ProviderError(
            f"provider '{provider}' was requested, but OpenVINO is not installed: pip install 'vitrail[openvino]'"
        )
    if PRECISIONS[provider] == "bf16" and not computes_bf16():
        raise ProviderError(
            f"provider '{provider}' was requested, but this CPU has no bfloat16: choose openvino or cpu"
        )


class CompiledGraph:
    """A model file compiled for canvases of one size, in batches of any; used from any number of threads."""

    def __init__(self, model: Path | bytes, size: int, provider: str, threads: int) -> None:
        require_openvino(provider)
        import openvino

        core = openvino.Core()
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": PRECISIONS[provider],
            "ENABLE_CPU_PINNING": False,  # decoders use the same cores
        }
        try:
            graph = core.read_model(os.fspath(model) if isinstance(model, Path) else model)
            graph.reshape({"image": openvino.PartialShape([-1, size, size, 3])})
            self.graph = core.compile_model(graph, "CPU", options)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot compile this file: {last_line(error)}") from error
        self.requests = local()  # one a thread: a request has its own inputs and outputs

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """These outputs, like `run` of onnxruntime's session."""
        if not hasattr(self.requests, "of_thread"):
            self.requests.of_thread = self.graph.create_infer_request()
        try:
            results = self.requests.of_thread.infer(inputs, share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO fails on a batch of {len(inputs['image'])}: {last_line(error)}") from error
        return [results[name] for name in outputs]


def last_line(error: Exception) -> str:
    """OpenVINO's messages end with what is wrong, after the places in its source."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
