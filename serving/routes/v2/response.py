"""Inference responses: each output as numbers in JSON, as bytes after it, or as its top classes."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.serving.routes.v2.request import InferenceRequest, Output
from vitrail.serving.settings import model_name

LENGTH_HEADER = "inference-header-content-length"
VERSION = "1"

Json = dict[str, Any]


def inference_response(model: DescribedModel, request: InferenceRequest, outputs: Outputs) -> Response:
    head: Json = {"model_name": model_name(model.card), "model_version": VERSION}
    if request.id is not None:
        head["id"] = request.id
    tensors = [tensor(model, output, outputs.columns[output.name]) for output in request.outputs]
    response = JSONResponse({**head, "outputs": [document for document, _ in tensors]})
    tail = [data for _, data in tensors if data is not None]
    if not tail:
        return response
    headers = {LENGTH_HEADER: str(len(response.body))}
    return Response(b"".join([response.body, *tail]), headers=headers, media_type="application/octet-stream")


def tensor(model: DescribedModel, output: Output, table: NDArray[np.float32]) -> tuple[Json, bytes | None]:
    """An output's JSON, and its bytes if they are sent after the JSON; `table` is [N, …]."""
    texts: list[str] = []
    document: Json = {"name": output.name, "datatype": "FP32", "shape": list(table.shape)}
    if output.classes:
        texts = [text for row in table for text in top_classes(model, row, output.classes)]
        document = {"name": output.name, "datatype": "BYTES", "shape": [len(table), len(texts) // len(table)]}
    if not output.binary:
        return {**document, "data": texts or table.ravel().tolist()}, None
    data = b"".join(map(encode_element, texts)) if texts else table.astype("<f4", copy=False).tobytes()
    return {**document, "parameters": {"binary_data_size": len(data)}}, data


def encode_element(text: str) -> bytes:
    """An element of BYTES: its length, then its UTF-8."""
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def top_classes(model: DescribedModel, row: NDArray[np.float32], classes: int) -> Iterator[str]:
    """The highest scores of a row as `value:index:label`, as Triton formats them."""
    for index in np.argsort(-row, kind="stable")[:classes]:
        yield f"{row[index]:f}:{index}:{model.card.classes[index]}"
