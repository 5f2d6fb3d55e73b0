"""vitrail: Vision Transformer image classifiers, trained, measured, exported and served.

    import vitrail

    with vitrail.load("model.onnx") as model:
        print(model.classify("photo.jpg"))

Nothing here imports torch or onnxruntime before it is used.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrail.exporting import export
    from vitrail.model_file.explanation import Explanation
    from vitrail.model_file.model import Model, Prediction, load
    from vitrail.models import CNN, ViT
    from vitrail.training.build import build
    from vitrail.vectors import patchify, unpatchify

__all__ = [
    "CNN",
    "Explanation",
    "Model",
    "Prediction",
    "ViT",
    "__version__",
    "build",
    "export",
    "load",
    "patchify",
    "unpatchify",
]

__version__ = version("vitrail")

HOMES = {
    "Explanation": "vitrail.model_file.explanation",
    "Model": "vitrail.model_file.model",
    "Prediction": "vitrail.model_file.model",
    "build": "vitrail.training.build",
    "export": "vitrail.exporting",
    "load": "vitrail.model_file.model",
    "CNN": "vitrail.models",
    "ViT": "vitrail.models",
    "patchify": "vitrail.vectors",
    "unpatchify": "vitrail.vectors",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'vitrail' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
