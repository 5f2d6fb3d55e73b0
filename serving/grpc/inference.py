"""Inference requests and responses between gRPC's messages and the types of the routes below /v2."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError

from vitrail.model_file.described import DescribedModel, Outputs
from vitrail.serving.contract import MAX_TEXT
from vitrail.serving.grpc.messages import CLASSES
from vitrail.serving.grpc.wire import broken
from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.request_images import require_max_images
from vitrail.serving.routes.v2.request import (
    MAX_DIMENSIONS,
    InferenceRequest,
    ModelOutputs,
    Output,
    Parameters,
    Tensor,
    chosen_output,
    data_of,
    input_name,
    no_shared_memory,
    refuse_repeated,
)
from vitrail.serving.routes.v2.response import VERSION, tensor
from vitrail.serving.routes.v2.tensors import FLOATS, BadTensor, Numbers, flat, require_elements, require_size
from vitrail.serving.settings import model_name

NUMBERS = ("uint_contents", "int_contents", "int64_contents", "uint64_contents")  # in which clients send UINT8


def parsed(kind: str, message: bytes) -> Any:
    try:
        return CLASSES[kind].FromString(message)
    except DecodeError as error:
        raise broken() from error


def inference_request(message: Any, raw: Sequence[memoryview], available: ModelOutputs) -> InferenceRequest:
    """A ModelInferRequest, whose raw contents were taken out of it."""
    if len(message.inputs) != 1:
        raise BadTensor(f"there are {len(message.inputs)} inputs; the model has one, {input_name(available)!r}")
    if len(message.id) > MAX_TEXT:
        raise Problem(400, "bad_message", f"an id has at most {MAX_TEXT:,} characters")
    outputs: list[Output] = []
    for each in message.outputs:
        outputs.append(chosen_output(each.name, parameters_of(each.parameters), available))
        refuse_repeated(outputs)
    outputs = outputs or [Output(name) for name in available.outputs]
    binary = tuple(replace(each, binary=True) for each in outputs)
    return InferenceRequest(images_of(message.inputs[0], raw, available), binary, message.id or None)


def images_of(given: Any, raw: Sequence[memoryview], available: ModelOutputs) -> Any:
    """The images or vectors of the input: its raw contents, or the few that its own message may hold."""
    if len(given.shape) > MAX_DIMENSIONS or min(given.shape, default=0) < 0:
        raise BadTensor(f"a shape must be a list of at most {MAX_DIMENSIONS} whole numbers")
    no_shared_memory(parameters_of(given.parameters))
    described = Tensor(given.name, given.datatype, tuple(given.shape))
    if raw:
        if len(raw) > 1 or given.HasField("contents"):
            raise BadTensor("the input must have either contents or one of raw_input_contents")
        return data_of(replace(described, size=len(raw[0])), raw[0], available)
    if given.datatype == "BYTES" and available.vectors is None:
        return elements_of(described, list(given.contents.bytes_contents))
    numbers = numbers_of(given.contents) if available.vectors is None else floats_of(given.contents)
    return data_of(replace(described, data=numbers), memoryview(b""), available)


def elements_of(described: Tensor, elements: list[bytes]) -> list[bytes]:
    """Encoded images, each an element of its own."""
    require_elements(described.shape or ())
    require_size(len(require_max_images(elements)), described.shape or ())
    return elements


def numbers_of(contents: Any) -> Numbers:
    values = next((list(numbers) for name in NUMBERS if (numbers := getattr(contents, name))), [])
    try:
        return Numbers(bytes(values), flat((len(values),)))
    except ValueError as error:
        raise BadTensor("contents of UINT8 must be whole numbers from 0 to 255") from error


def floats_of(contents: Any) -> Numbers:
    values = list(contents.fp32_contents)
    return Numbers(FLOATS.packed(values), flat((len(values),)), FLOATS)


def parameters_of(given: Mapping[str, Any]) -> Parameters:
    return {name: getattr(each, each.WhichOneof("parameter_choice") or "bool_param") for name, each in given.items()}


def inference_response(model: DescribedModel, request: InferenceRequest, outputs: Outputs) -> Any:
    response = CLASSES["ModelInferResponse"](
        model_name=model_name(model.card), model_version=VERSION, id=request.id or ""
    )
    for output in request.outputs:
        document, data = tensor(model, output, outputs.columns[output.name])
        response.outputs.add(name=document["name"], datatype=document["datatype"], shape=document["shape"])
        response.raw_output_contents.append(data)
    return response
