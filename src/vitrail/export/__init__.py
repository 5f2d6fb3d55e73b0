"""From a checkpoint to one ONNX file that has proved itself."""

from vitrail.export.file import export

__all__ = ["export"]
