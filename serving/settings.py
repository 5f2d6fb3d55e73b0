"""Which model to serve, and where: the environment first, then the file that a Bento carries."""

import os
from pathlib import Path
from typing import cast

import vitrail
from vitrail.errors import UsageError
from vitrail.runtime import Provider

MODEL_VARIABLE = "VITRAIL_MODEL"
PROVIDER_VARIABLE = "VITRAIL_PROVIDER"
PACKED_MODEL = "model.onnx"


def model_path() -> Path:
    """The file named by VITRAIL_MODEL, else the one that lies beside the package in a Bento."""
    named = os.environ.get(MODEL_VARIABLE)
    if named:
        return Path(named)
    packed = Path(vitrail.__file__).parents[1] / PACKED_MODEL
    if packed.is_file():
        return packed
    raise UsageError(f"no model to serve: set {MODEL_VARIABLE} to a model.onnx written by `vitrail export`")


def provider() -> Provider:
    """VITRAIL_PROVIDER as it is; the classifier says so where it knows no such provider."""
    return cast(Provider, os.environ.get(PROVIDER_VARIABLE) or "auto")
