"""From a checkpoint to one ONNX file that has proved itself."""

import os

# Before torch is loaded: see vitrail.training, where the same is at stake.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from vitrail.exporting.model_file import export

__all__ = ["export"]
