"""What is answered: each output as numbers in JSON, as bytes behind it, or as its best classes."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from vitrail.model_file.classifier import Classifier, Outputs
from vitrail.serving.naming import model_name
from vitrail.serving.routes.v2.request import Asked, Output

LENGTH_HEADER = "inference-header-content-length"
VERSION = "1"  # a server has one model file; which one, its metadata's digest tells

Json = dict[str, Any]


def answer_response(model: Classifier, asked: Asked, answers: Outputs) -> Response:
    head: Json = {"model_name": model_name(model.card), "model_version": VERSION}
    if asked.id is not None:
        head["id"] = asked.id
    found = [tensor(model, output, answers.columns[output.name]) for output in asked.outputs]
    answer = JSONResponse({**head, "outputs": [told for told, _ in found]})
    behind = [data for _, data in found if data is not None]
    if not behind:
        return answer
    headers = {LENGTH_HEADER: str(len(answer.body))}
    return Response(b"".join([answer.body, *behind]), headers=headers, media_type="application/octet-stream")


def tensor(model: Classifier, output: Output, table: NDArray[np.float32]) -> tuple[Json, bytes | None]:
    """An output as it stands in the JSON, and its bytes where they follow behind; `table` is [N, …]."""
    texts: list[str] = []
    told: Json = {"name": output.name, "datatype": "FP32", "shape": list(table.shape)}
    if output.classes:
        texts = [text for row in table for text in best(model, row, output.classes)]
        told = {"name": output.name, "datatype": "BYTES", "shape": [len(table), len(texts) // len(table)]}
    if not output.binary:
        return {**told, "data": texts or table.ravel().tolist()}, None
    data = b"".join(map(element, texts)) if texts else table.astype("<f4", copy=False).tobytes()
    return {**told, "parameters": {"binary_data_size": len(data)}}, data


def element(text: str) -> bytes:
    """A text behind its length."""
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def best(model: Classifier, row: NDArray[np.float32], classes: int) -> Iterator[str]:
    """The highest of a row as `value:index:label`, the form that Triton gives them."""
    for index in np.argsort(-row, kind="stable")[:classes]:
        yield f"{row[index]:f}:{index}:{model.card.classes[index]}"
