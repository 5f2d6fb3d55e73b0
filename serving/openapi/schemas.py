"""JSON Schemas of requests and responses."""

from typing import Any

from vitrail.model_file.card import Card
from vitrail.model_file.typed_json import definitions
from vitrail.serving.contract import INPUT, MAX_TEXT, OUTPUTS, VECTORS

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
FLAG: Json = {"type": "boolean"}
TEXT_OR_NULL: Json = {"type": ["string", "null"]}
SHA256: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def record(required: Json, optional: Json | None = None) -> Json:
    """An object with only these members."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(items: Json) -> Json:
    return {"type": "array", "items": items}


IDENTITY: Json = {"name": TEXT, "sha256": SHA256}
BASE64: Json = {"type": "string", "contentEncoding": "base64"}
NUMBERS: Json = {"type": "array", "items": {"type": "number"}}
KIND: Json = {"type": "string", "enum": ["exact", "approximate"]}
ERROR: Json = {"type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT, "code": TEXT}
PROBABILITY: Json = {"type": "number", "minimum": 0, "maximum": 1}

# The Open Inference Protocol, in JSON.
PIXEL: Json = {"type": "integer", "minimum": 0, "maximum": 255}
SIDES: Json = array_of({"type": "integer", "minimum": 0})
OUTPUT: Json = {"type": "string", "enum": list(OUTPUTS)}
PARAMETERS: Json = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}


def tensor(name: Json, datatype: str, more: Json) -> Json:
    return record({"name": name, "datatype": {"const": datatype}, "shape": SIDES, **more})


def metadata(name: Json, datatype: str) -> Json:
    return record({"name": name, "datatype": {"const": datatype}, "shape": array_of(WHOLE)})


LABEL: Json = {"label": TEXT, "index": {"type": "integer", "minimum": 0}, "probability": PROBABILITY}

SCHEMAS: Json = {
    "Predictions": record({"model": record(IDENTITY), "predictions": array_of(ref("Prediction"))}),
    "Prediction": {
        "oneOf": [
            record({"labels": array_of(ref("Label"))}, {"none_of_these": FLAG}),
            record({"values": array_of(ref("Value"))}),
            record({"grid": ref("Grid")}),
            record({"maps": array_of(ref("Map"))}),
            record({"sequence": array_of(ref("Label")), "probability": PROBABILITY}),
            record({"boxes": array_of(ref("Box"))}),
            record({"error": ref("Error")}),
        ]
    },
    "Box": record({**LABEL, "box": {**array_of(PROBABILITY), "minItems": 4, "maxItems": 4}}),
    "Value": record({"name": TEXT, "value": {"type": "number"}}),
    "Map": record({"name": TEXT, "values": array_of(NUMBERS)}),
    "Grid": record({"labels": array_of(array_of(TEXT)), "probabilities": array_of(array_of(PROBABILITY))}),
    "Label": record(LABEL),
    "Embeddings": record({"model": record(IDENTITY), "predictions": array_of(ref("Embedding"))}),
    "Embedding": {"oneOf": [record({"embedding": NUMBERS}), record({"error": ref("Error")})]},
    "Explanation": record(
        {"model": record(IDENTITY), "label": TEXT, "kind": KIND, "evidence": array_of(NUMBERS)},
        {"overlay": {**BASE64, "contentMediaType": "image/png"}},
    ),
    "Explanations": record({"kind": KIND, "grid": array_of(WHOLE), "rule": TEXT}),
    "Error": record(ERROR),
    "Problem": record({**ERROR, "request_id": TEXT}, {"errors": array_of(ref("Error"))}),
    "ProtocolProblem": record({**ERROR, "request_id": TEXT, "error": TEXT}),
    "InferenceRequest": record(
        {"inputs": {**array_of(ref("Input")), "minItems": 1, "maxItems": 1}},
        {"outputs": array_of(ref("Output")), "parameters": PARAMETERS, "id": {**TEXT, "maxLength": MAX_TEXT}},
    ),
    "Input": {
        "oneOf": [
            tensor({"const": INPUT}, "UINT8", {"data": array_of(PIXEL)}),
            tensor({"const": INPUT}, "BYTES", {"data": array_of(BASE64)}),
            tensor({"const": VECTORS}, "FP32", {"data": NUMBERS}),
        ]
    },
    "Output": record({"name": OUTPUT}, {"parameters": PARAMETERS}),
    "InferenceResponse": record(
        {"model_name": TEXT, "model_version": TEXT, "outputs": array_of(ref("Tensor"))},
        {"id": TEXT},
    ),
    "Tensor": {
        "oneOf": [
            tensor(OUTPUT, "FP32", {"data": NUMBERS}),
            tensor(OUTPUT, "BYTES", {"data": array_of(TEXT)}),
        ]
    },
    "ProtocolServer": record({"name": TEXT, "version": TEXT, "extensions": array_of(TEXT)}),
    "ProtocolModel": record(
        {
            "name": TEXT,
            "versions": array_of(TEXT),
            "platform": TEXT,
            "inputs": array_of({"oneOf": [metadata({"const": INPUT}, "UINT8"), metadata({"const": VECTORS}, "FP32")]}),
            "outputs": array_of(metadata(OUTPUT, "FP32")),
        }
    ),
    "ProtocolReady": record({"ready": {"const": True}}),
    "ProtocolModelReady": record({"name": TEXT, "ready": {"const": True}}),
    "Model": record(
        {
            **IDENTITY,
            "provider": TEXT,
            "card": ref("Card"),
            "explanations": {"oneOf": [ref("Explanations"), {"type": "null"}]},
        }
    ),
    **definitions(Card, "#/components/schemas/"),
    "Live": record({"live": {"const": True}}),
    "Ready": record({"ready": FLAG, "provider": TEXT_OR_NULL, "reason": TEXT_OR_NULL}),
}
