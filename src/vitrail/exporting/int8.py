"""A model file in 8-bit integers for CPUs: weights per channel, activations calibrated or dynamic."""

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from vitrail.images.patches import inputs_of

BATCH = 8
# A transformer's residual stream stays in floats; a CNN stays in integers from layer to layer.
TRANSFORMER = ["MatMul"]
CNN = ["Conv", "Gemm", "Add", "MaxPool"]
# Weights have 7 bits: with 8, CPUs without VNNI instructions silently overflow, and their outputs differ.
WEIGHTS = {"per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8}


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Canvases in batches, for onnxruntime's calibration."""

    def __init__(self, canvases: NDArray[np.uint8], patch: int | None) -> None:
        self.patch = patch
        self.batches: Iterator[NDArray[np.uint8]] = (
            canvases[begin : begin + BATCH] for begin in range(0, len(canvases) // BATCH * BATCH or BATCH, BATCH)
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        batch = next(self.batches, None)
        return None if batch is None else inputs_of(batch, self.patch)


def to_int8(model: bytes, canvases: NDArray[np.uint8], patch: int | None = None) -> bytes:
    """Static: the range of each activation is calibrated on these images."""
    content = without_shapes(model)
    transformer = is_transformer(content)
    stem = next((node.name for node in content.graph.node if node.op_type == "Conv"), None)

    def quantize(output: Path) -> None:
        quantize_static(
            content,
            str(output),
            Calibration(canvases, patch),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=TRANSFORMER if transformer else CNN,
            nodes_to_exclude=[stem] if stem else [],  # the first layer reads pixels: few operations, high loss
            extra_options={"OpTypesToExcludeOutputQuantization": TRANSFORMER},
            **WEIGHTS,
        )

    return quantized(quantize)


def to_int8_dynamic(model: bytes) -> bytes:
    """Dynamic: ranges are those of each batch, so an image's outputs depend on the rest of its batch."""
    content = without_shapes(model)

    def quantize(output: Path) -> None:
        quantize_dynamic(content, str(output), op_types_to_quantize=TRANSFORMER, **WEIGHTS)

    return quantized(quantize)


def is_transformer(content: onnx.ModelProto) -> bool:
    """Whether there are more matrix products than convolutions."""
    operators = [node.op_type for node in content.graph.node]
    return operators.count("MatMul") > operators.count("Conv")


def without_shapes(model: bytes) -> onnx.ModelProto:
    """The model without torch's inferred shapes, on which onnxruntime's quantizer fails."""
    content = onnx.load_from_string(model)
    del content.graph.value_info[:]
    return content


def quantized(quantize: Any) -> bytes:
    """The quantized model; quantizers write to files only, and log advice that does not apply here."""
    logging.getLogger().addFilter(silence := lambda record: False)
    try:
        with TemporaryDirectory(prefix="vitrail-int8-") as folder:
            output = Path(folder) / "int8.onnx"
            quantize(output)
            return output.read_bytes()
    finally:
        logging.getLogger().removeFilter(silence)
