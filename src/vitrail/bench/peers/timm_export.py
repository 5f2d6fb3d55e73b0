"""timm's own exporter, as a process: weights in, an ONNX file and a note on its making out."""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.utils.onnx import onnx_export


def main(job: dict[str, Any]) -> None:
    # `exportable` is what timm's onnx_export.py sets: attention is written out instead of called fused.
    network = timm.create_model(job["name"], num_classes=job["classes"], img_size=job["size"], exportable=True).eval()
    network.load_state_dict(load_file(job["weights"]))
    side = job["size"]
    begin = perf_counter()
    onnx_export(network, job["output"], input_size=(3, side, side), batch_size=2, use_dynamo=job["dynamo"])
    seconds = perf_counter() - begin
    versions = {"timm": timm.__version__, "torch": torch.__version__}
    Path(job["note"]).write_text(json.dumps({"seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
