"""The share of a file's own time that preprocessing takes, by onnxruntime's profile."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vitrail.runtime.providers import session_options

RUNS = 12
FIRST = "Conv"  # the first layer of every network that we build


def preprocessing_share(path: Path, canvases: NDArray[np.uint8], threads: int) -> float:
    """The share of node time before the first convolution, over some runs."""
    with TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(RUNS):
            session.run(None, {"image": canvases})
        events = json.loads(Path(session.end_profiling()).read_text())
    return share_before(FIRST, [event for event in events if event["name"].endswith("_kernel_time")])


def share_before(kind: str, nodes: list[dict[str, Any]]) -> float:
    """The share of time of the nodes before the first of this kind in each run; nodes are in order of execution."""
    begins = [place for place, node in enumerate(nodes) if node["name"] == nodes[0]["name"]]
    before = 0
    for begin in begins:
        for node in nodes[begin:]:
            if kind in node["args"]["op_name"]:
                break
            before += node["dur"]
    return float(before / sum(node["dur"] for node in nodes))
