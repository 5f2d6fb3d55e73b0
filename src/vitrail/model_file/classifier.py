"""A model.onnx in memory: classify, embed (onnxruntime or OpenVINO; no torch)."""

from pathlib import Path

import numpy as np

from vitrail.errors import ModelError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.images.patches import Images, grid_of, inputs_of
from vitrail.model_file.card import METADATA_KEY, Card, file_of
from vitrail.model_file.described import DescribedModel, Label, Outputs
from vitrail.model_file.seal import sealed_digest
from vitrail.runtime.openvino import OPENVINO, CompiledGraph
from vitrail.runtime.providers import Provider, open_session, usable_cores
from vitrail.runtime.tensorrt import tensorrt_options
from vitrail.tasks.task import TOP_K


class Classifier(DescribedModel):
    """A loaded model file; its card describes the outputs."""

    def __init__(self, path: str | Path, provider: Provider = "auto", threads: int | None = None) -> None:
        self.path, self.threads = file_of(Path(path)), threads
        if not self.path.is_file():
            raise ModelError(f"there is no model file at {self.path}")
        # TensorRT needs the canvas size from the card: the file is read on the CPU first.
        first: Provider = "cpu" if provider == "tensorrt" else provider
        self.session = open_session(self.path, first, threads)
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ModelError(f"{self.path} has no vitrail card: it was not written by `vitrail export`")
        self.card = Card.from_json(text)
        self.sha256 = sealed_digest(self.path)
        if provider == "tensorrt":
            if self.card.input.is_native:
                raise UsageError("TensorRT's engine has one size, and this model takes images of any: choose cuda")
            options = tensorrt_options(self.sha256, self.card.input.size, self.card.precision == "fp16")
            self.session = open_session(self.path, provider, threads, options)
        self.provider: str = OPENVINO.get(provider) or self.session.get_providers()[0]
        self.shapes = {output.name: output.shape for output in self.session.get_outputs()}
        self.compiled = self.compile_for_canvases(provider, threads or usable_cores()) if provider in OPENVINO else None

    def compile_for_canvases(self, provider: Provider, threads: int) -> CompiledGraph:
        """OpenVINO resizes images in the graph unlike onnxruntime: the session computes what is no canvas."""
        rule = self.card.input
        if rule.is_native:
            raise UsageError("OpenVINO's graph has one size, and this model takes images of any: choose cpu")
        return CompiledGraph(self.path, rule.size, provider, threads)

    def predict(self, images: Images) -> Outputs:
        """Run the graph on uint8 [N, H, W, 3]; batches of canvases are fast and give the measured numbers.

        Where images keep their shapes, it takes N canvases of any shapes.
        """
        rule = self.card.input
        refuse = refuse_not_canvases if rule.is_native else self.refuse_not_images
        refuse(images, rule)
        outputs = self.task.outputs
        inputs = inputs_of(images, rule.patch)
        graph = self.session
        if self.compiled is not None and inputs["image"].shape[1:3] == (rule.size, rule.size):
            graph = self.compiled
        return Outputs(dict(zip(outputs, graph.run(outputs, inputs), strict=True)))

    def refuse_not_images(self, images: Images, rule: InputRule) -> None:
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
            raise UsageError(
                "the model takes uint8 images [N, height, width, 3], RGB, 0 to 255, not yet normalised; "
                f"these are {images.dtype} {list(images.shape)}"
            )
        if self.takes_canvases_only and images.shape[1:3] != (rule.size, rule.size):
            raise UsageError(f"on TensorRT the model takes only canvases of {rule.size}×{rule.size} pixels")

    def classify(self, data: bytes, top_k: int = TOP_K) -> list[Label]:
        """The `top_k` most probable labels of one encoded image, for tasks with labels."""
        if not self.task.ranks:
            raise UsageError(f"this model's task is {self.card.task}, without labels: see `Classifier.payload`")
        return self.labels(self.predict(self.fit(data)[None]).probabilities[0], top_k)


def refuse_not_canvases(images: Images, rule: InputRule) -> None:
    """Of images at their own shapes: as many whole patches as the model takes, at least one."""
    assert rule.patch is not None
    if len(images) == 0:
        raise UsageError("there is no image")
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UsageError(
                "the model takes uint8 images [height, width, 3], RGB, 0 to 255; "
                f"one is {image.dtype} {list(image.shape)}"
            )
        rows, columns = grid_of(image.shape, rule.patch)
        if rows * columns > rule.vectors:
            raise UsageError(
                f"an image of {image.shape[0]}×{image.shape[1]} has {rows * columns:,} patches, and the model takes at "
                f"most {rule.vectors:,}: make its canvas with `images.fit`"
            )
