"""A model.onnx in memory: classify, embed (onnxruntime or OpenVINO; no torch)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import ModelError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.images.patches import Images, batch_of, grid_of, inputs_of
from vitrail.model_file.canvas_graph import canvas_graph
from vitrail.model_file.card import METADATA_KEY, Card, file_of
from vitrail.model_file.described import DescribedModel, Label, Outputs, Table
from vitrail.model_file.seal import sealed_digest
from vitrail.runtime.bound import AT_ONCE, BoundGraph
from vitrail.runtime.openvino import OPENVINO, CompiledGraph
from vitrail.runtime.providers import TF32, Provider, open_session, run_faults, usable_cores
from vitrail.runtime.tensorrt import building_alone, tensorrt_options
from vitrail.tasks.task import TOP_K

CAPTURING = {"enable_cuda_graph": "1"}  # options of onnxruntime's CUDA


class Graph(Protocol):
    """What computes a batch."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> Sequence[Table]:
        """These outputs."""


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
                raise UsageError("TensorRT's engine has one size, and this model takes inputs of any: choose cuda")
            options = tensorrt_options(self.sha256, self.card.input.size, self.card.precision == "fp16")
            with building_alone(self.sha256):
                self.session = open_session(self.path, provider, threads, options)
        self.provider: str = {**OPENVINO, **TF32}.get(provider) or self.session.get_providers()[0]
        self.shapes = {output.name: output.shape for output in self.session.get_outputs()}
        self.fallbacks: list[str] = []  # why canvases are not computed in a faster way
        self.for_canvases = self.graph_for_canvases(provider, threads or usable_cores())

    def graph_for_canvases(self, provider: Provider, threads: int) -> Graph:
        """What computes canvases; the session computes what is none."""
        rule = self.card.input
        if provider in OPENVINO:  # which resizes images in the graph unlike onnxruntime
            if rule.is_native:
                raise UsageError("OpenVINO's graph has one size, and this model takes images of any: choose cpu")
            return CompiledGraph(self.path, rule.size, provider, threads)
        graph: Graph = self.session if self.is_on_cpu or rule.is_native else self.graph_on_gpu(provider)
        return graph

    def graph_on_gpu(self, provider: Provider) -> Graph:
        """The first that works: captured graphs, memory that stays on the device, the session as it is."""
        ways: list[Callable[[], BoundGraph]] = [partial(self.captured, provider), self.bound]
        for way in ways[self.takes_canvases_only :]:  # engines of TensorRT are not captured
            try:
                graph = way()
                graph.run_parts([np.zeros((1, *graph.canvas), np.uint8)])
            except run_faults() as error:
                self.fallbacks.append(str(error).partition("\n")[0])
            else:
                return graph
        session: Graph = self.session
        return session

    def captured(self, provider: Provider) -> BoundGraph:
        size = self.card.input.size
        session = open_session(canvas_graph(self.path, size), provider, self.threads, CAPTURING)
        return BoundGraph(session, size, self.task.outputs, "cuda", captures=True)

    def bound(self) -> BoundGraph:
        return BoundGraph(self.session, self.card.input.size, self.task.outputs, "cuda", captures=False)

    @property
    def batches_at_once(self) -> int:
        """How many batches of canvases gain from being under way at the same time."""
        return AT_ONCE if isinstance(self.for_canvases, BoundGraph) else 1

    def predict(self, images: Images) -> Outputs:
        """Run the graph on uint8 [N, H, W, 3]; batches of canvases are fast and give the measured numbers.

        Where images keep their shapes, it takes N canvases of any shapes; of a model of vectors, N sets of them,
        float32 [T, width].
        """
        rule = self.card.input
        refuse = (
            self.refuse_not_images if not rule.is_native else refuse_not_sets if rule.width else refuse_not_canvases
        )
        refuse(images, rule)
        outputs = self.task.outputs
        inputs = inputs_of(images, rule.patch)
        is_canvas = not rule.is_native and inputs["image"].shape[1:3] == (rule.size, rule.size)
        graph = self.for_canvases if is_canvas else self.session
        return self.named(graph.run(outputs, inputs))

    def predict_parts(self, parts: Sequence[NDArray[np.uint8]]) -> Outputs:
        """Images [n, H, W, 3] of several requests as one batch; canvases are copied once where they go to a device."""
        graph = self.for_canvases
        if isinstance(graph, BoundGraph) and all(part.shape[1:] == graph.canvas for part in parts):
            return self.named(graph.run_parts(parts))
        return self.predict(joined(parts))

    def named(self, tables: Sequence[Table]) -> Outputs:
        return Outputs(dict(zip(self.task.outputs, tables, strict=True)))

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


def refuse_not_sets(sets: Images, rule: InputRule) -> None:
    """Of vectors as the model takes them: at least one a set."""
    if len(sets) == 0:
        raise UsageError("there is no set of vectors")
    for one in sets:
        if one.dtype != np.float32 or one.ndim != 2 or not 1 <= len(one) <= rule.size or one.shape[1] != rule.width:
            raise UsageError(
                f"the model takes sets of 1 to {rule.size:,} vectors, float32 [T, {rule.width}]; "
                f"one is {one.dtype} {list(one.shape)}"
            )
        if not np.isfinite(one).all():
            raise UsageError("a vector has a number that is not finite")


def joined(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The canvases of all parts as one batch."""
    if len({part.shape[1:] for part in parts}) == 1:
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    return batch_of([canvas for part in parts for canvas in part])
