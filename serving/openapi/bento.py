"""The schema that BentoML's client reads."""

from vitrail.serving.contract import FIELD
from vitrail.serving.openapi.schemas import Json
from vitrail.serving.openapi.v1 import CLASSIFY

# `bentoml.SyncHTTPClient` builds its methods from it: client.classify(image=[Path("photo.jpg")]).
CLIENT_SCHEMA: Json = {
    "name": "vitrail",
    "type": "service",
    "routes": [
        {
            "name": "classify",
            "route": "/v1/classify",
            "doc": CLASSIFY["summary"],
            "input": {
                "type": "object",
                "properties": {FIELD: {"type": "array", "items": {"type": "file"}}},
                "required": [FIELD],
            },
            "output": {"type": "object"},
        }
    ],
}
