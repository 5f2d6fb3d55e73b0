"""A model file's graph for canvases alone: without the resize of other images, which no graph of CUDA can capture."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vitrail.errors import ProviderError

IMAGE = "image"
BEFORE_RESIZE = ("Transpose", "Cast")  # of the input, as uint8 [N, H, W, 3] is made float32 [N, 3, H, W]


def canvas_graph(path: Path, size: int) -> bytes:
    """The file with inputs [batch, size, size, 3] only, and the same outputs for them."""
    if find_spec("onnx") is None:
        raise ProviderError("graphs are captured where onnx is installed: pip install 'vitrail[gpu]'")
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    if (resize := resize_of_input(graph)) is not None:
        (resized,), given = resize.output, resize.input[0]
        graph.node.remove(resize)
        for node in graph.node:
            node.input[:] = [given if name == resized else name for name in node.input]
    (image,) = (each for each in graph.input if each.name == IMAGE)
    for axis in (1, 2):
        image.type.tensor_type.shape.dim[axis].dim_value = size
    content: bytes = model.SerializeToString()
    return content


def resize_of_input(graph: Any) -> Any | None:
    """The node that resizes the input itself; a network may resize within."""
    name = IMAGE
    for node in graph.node:  # in topological order
        if node.op_type == "Resize" and node.input[0] == name:
            return node
        if node.op_type in BEFORE_RESIZE and node.input[0] == name:
            (name,) = node.output
    return None
