"""BentoML's own typed API, as its guide says: an image in, JSON out, as many at once as there are cores."""

from typing import Any

import bentoml
from peer_model import CORES, Model
from PIL.Image import Image as Uploaded


@bentoml.service(threads=CORES, logging={"access": {"enabled": False}})
class Typed:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api
    def classify(self, image: Uploaded) -> dict[str, Any]:
        return {"predictions": self.model.predictions([self.model.fit(image)])}
