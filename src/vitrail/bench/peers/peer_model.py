"""What every peer's server does with an image: shared code, so that only the servers differ."""

import io
import json
import os
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

Canvas = NDArray[np.uint8]

CORES = int(os.environ.get("PEER_CORES", "1"))
PORT = int(os.environ.get("PEER_PORT", "0"))
TOP = 5


class Model:
    """The model file with the session options of `vitrail serve`: all cores, and threads that do not spin."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = CORES
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])
        card = json.loads(self.session.get_modelmeta().custom_metadata_map["vitrail"])
        self.classes: list[str] = card["classes"]
        self.size: int = card["input"]["size"]

    def canvas(self, data: bytes) -> Canvas:
        return self.fit(Image.open(io.BytesIO(data)))

    def fit(self, image: Image.Image) -> Canvas:
        """An image squashed to [size, size, 3]; a JPEG is decoded at no less than twice that, as ours is."""
        if min(image.size) > 2 * self.size:
            image.draft("RGB", (2 * self.size, 2 * self.size))
        return np.array(image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR))

    def predictions(self, canvases: list[Canvas]) -> list[dict[str, Any]]:
        """The most probable classes of each canvas, computed as one batch."""
        (rows,) = self.session.run(["probabilities"], {"image": np.stack(canvases)})
        return [{"labels": self.labels(row)} for row in rows]

    def labels(self, row: NDArray[np.float32]) -> list[dict[str, Any]]:
        best = np.argsort(-row, kind="stable")[:TOP]
        return [{"label": self.classes[i], "index": int(i), "probability": float(row[i])} for i in best]
