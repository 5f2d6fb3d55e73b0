"""From a checkpoint to one verified ONNX file."""

from vitrail.exporting.model_file import export

__all__ = ["export"]
