"""An engine in the process of the test."""

from vitrail.model_file.classifier import Classifier
from vitrail.serving.engine.engine import Engine
from vitrail.serving.engine.inference import LocalInference
from vitrail.serving.http.gate import Gate


def local_engine(model: Classifier | None = None) -> tuple[Engine, LocalInference]:
    """With this model loaded, and what computes it."""
    inference = LocalInference()
    engine = Engine(Gate(), inference, 2)
    engine.model = inference.model = model
    return engine, inference
