"""The shapes of the answers, as JSON Schema."""

from typing import Any

from vitrail.serving.routes.v2.request import INPUT, MAX_TEXT, OUTPUTS

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
TRUTH: Json = {"type": "boolean"}
TEXT_OR_NULL: Json = {"type": ["string", "null"]}
SHA256: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def record(required: Json, optional: Json | None = None) -> Json:
    """An object with these members and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def several(items: Json) -> Json:
    return {"type": "array", "items": items}


IDENTITY: Json = {"name": TEXT, "sha256": SHA256}
BASE64: Json = {"type": "string", "contentEncoding": "base64"}
NUMBERS: Json = {"type": "array", "items": {"type": "number"}}
KIND: Json = {"type": "string", "enum": ["exact", "approximate"]}
FAULT: Json = {"type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT, "code": TEXT}
PROBABILITY: Json = {"type": "number", "minimum": 0, "maximum": 1}

# Of the Open Inference Protocol, where all is JSON.
PIXEL: Json = {"type": "integer", "minimum": 0, "maximum": 255}
SIDES: Json = several({"type": "integer", "minimum": 0})
OUTPUT: Json = {"type": "string", "enum": list(OUTPUTS)}
PARAMETERS: Json = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}


def tensor(name: Json, datatype: str, more: Json) -> Json:
    return record({"name": name, "datatype": {"const": datatype}, "shape": SIDES, **more})


def metadata(name: Json, datatype: str) -> Json:
    return record({"name": name, "datatype": {"const": datatype}, "shape": several(WHOLE)})


SCHEMAS: Json = {
    "Answer": record({"model": record(IDENTITY), "predictions": several(ref("Prediction"))}),
    "Prediction": {
        "oneOf": [
            record({"labels": several(ref("Label"))}, {"none_of_these": TRUTH}),
            record({"values": several(ref("Value"))}),
            record({"grid": ref("Grid")}),
            record({"error": ref("Fault")}),
        ]
    },
    "Value": record({"name": TEXT, "value": {"type": "number"}}),
    "Grid": record({"labels": several(several(TEXT)), "probabilities": several(several(PROBABILITY))}),
    "Label": record({"label": TEXT, "index": {"type": "integer", "minimum": 0}, "probability": PROBABILITY}),
    "Embeddings": record({"model": record(IDENTITY), "predictions": several(ref("Embedding"))}),
    "Embedding": {"oneOf": [record({"embedding": NUMBERS}), record({"error": ref("Fault")})]},
    "Explanation": record(
        {"model": record(IDENTITY), "label": TEXT, "kind": KIND, "evidence": several(NUMBERS)},
        {"overlay": {**BASE64, "contentMediaType": "image/png"}},
    ),
    "Explanations": record({"kind": KIND, "grid": several(WHOLE), "rule": TEXT}),
    "Fault": record(FAULT),
    "Problem": record({**FAULT, "request_id": TEXT}, {"errors": several(ref("Fault"))}),
    "ProtocolProblem": record({**FAULT, "request_id": TEXT, "error": TEXT}),
    "Infer": record(
        {"inputs": {**several(ref("Input")), "minItems": 1, "maxItems": 1}},
        {"outputs": several(ref("Output")), "parameters": PARAMETERS, "id": {**TEXT, "maxLength": MAX_TEXT}},
    ),
    "Input": {
        "oneOf": [
            tensor({"const": INPUT}, "UINT8", {"data": several(PIXEL)}),
            tensor({"const": INPUT}, "BYTES", {"data": several(BASE64)}),
        ]
    },
    "Output": record({"name": OUTPUT}, {"parameters": PARAMETERS}),
    "Inferred": record(
        {"model_name": TEXT, "model_version": TEXT, "outputs": several(ref("Tensor"))},
        {"id": TEXT},
    ),
    "Tensor": {
        "oneOf": [
            tensor(OUTPUT, "FP32", {"data": NUMBERS}),
            tensor(OUTPUT, "BYTES", {"data": several(TEXT)}),
        ]
    },
    "ProtocolServer": record({"name": TEXT, "version": TEXT, "extensions": several(TEXT)}),
    "ProtocolModel": record(
        {
            "name": TEXT,
            "versions": several(TEXT),
            "platform": TEXT,
            "inputs": several(metadata({"const": INPUT}, "UINT8")),
            "outputs": several(metadata(OUTPUT, "FP32")),
        }
    ),
    "ProtocolReady": record({"ready": {"const": True}}),
    "ProtocolModelReady": record({"name": TEXT, "ready": {"const": True}}),
    "Model": record(
        {
            **IDENTITY,
            "provider": TEXT,
            "card": {"type": "object"},
            "explanations": {"oneOf": [ref("Explanations"), {"type": "null"}]},
        }
    ),
    "Live": record({"live": {"const": True}}),
    "Ready": record({"ready": TRUTH, "provider": TEXT_OR_NULL, "reason": TEXT_OR_NULL}),
}
