"""Inference requests, parsed strictly from JSON and the bytes after it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitrail.images.canvas import InputRule
from vitrail.serving.contract import INPUT, MAX_TEXT, VECTORS
from vitrail.serving.http.json_reader import Reader, Scalar, reader_for
from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.v2.tensors import (
    FLOATS,
    PIXELS,
    BadTensor,
    Data,
    Numbers,
    Shape,
    array_from_bytes,
    array_from_numbers,
    decode_elements,
    elements_from_texts,
    read_data,
    require_elements,
    require_pixels,
    require_size,
    require_vectors,
)

DATATYPES = ("UINT8", "BYTES")
FORM = (
    'of the form {"inputs": [{"name": "image", "datatype": "UINT8" or "BYTES", "shape": […], "data": […]}]}, '
    "and may have id, parameters and outputs"
)
SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write one alone; UTF-8 cannot
MAX_PARAMETERS = 64
MAX_DIMENSIONS = 8
REQUEST = frozenset({"id", "parameters", "inputs", "outputs"})
TENSOR = frozenset({"name", "datatype", "shape", "parameters", "data"})
OUTPUT = frozenset({"name", "parameters"})

Parameters = dict[str, Scalar]


@dataclass(frozen=True)
class Output:
    """A requested output: in the JSON or as bytes after it, or as its top classes."""

    name: str
    binary: bool | None = None  # None: the request's binary_data_output
    classes: int | None = None  # how many of the top classes


@dataclass(frozen=True)
class InferenceRequest:
    """The images or vectors, the requested outputs, and the request's id."""

    images: Data
    outputs: tuple[Output, ...]
    id: str | None


@dataclass
class Tensor:
    """An input's object in the JSON."""

    name: str | None = None
    datatype: str | None = None
    shape: Shape | None = None
    size: int | None = None  # of its bytes after the JSON
    data: Numbers | list[str] | None = None


@dataclass(frozen=True)
class ModelOutputs:
    """The model's outputs, those that have one score per class, and the rule of its vectors if it takes no images."""

    outputs: tuple[str, ...]
    scores: tuple[str, ...]
    vectors: InputRule | None = None


def parse_request(body: bytes, length: int | None, available: ModelOutputs) -> InferenceRequest:
    """Parse a body whose first `length` bytes are JSON; all of it if `length` is None."""
    reader = reader_for(body if length is None else body[:length], FORM)
    tail = memoryview(body)[len(body) if length is None else length :]
    name: str | None = None
    parameters: Parameters = {}
    inputs: list[Tensor] = []
    outputs: list[Output] = []
    for member in reader.members(len(REQUEST), REQUEST):
        if member == "id":
            name = read_text(reader)
        elif member == "parameters":
            parameters = read_parameters(reader)
        elif member == "inputs":
            inputs = read_inputs(reader, available)
        else:
            outputs = read_outputs(reader, available)
    reader.expect_end()
    if not inputs:
        raise BadTensor(f"there is no input; the model has one, {input_name(available)!r}")
    binary = read_flag(parameters, "binary_data_output") or False
    wanted = outputs or [Output(known) for known in available.outputs]
    resolved = tuple(output if output.binary is not None else replace(output, binary=binary) for output in wanted)
    return InferenceRequest(data_of(inputs[0], tail, available), resolved, name)


def input_name(available: ModelOutputs) -> str:
    return INPUT if available.vectors is None else VECTORS


def read_inputs(reader: Reader, available: ModelOutputs) -> list[Tensor]:
    tensors = []
    for number in reader.items():
        if number:
            raise BadTensor(f"there is more than one input; the model has one, {input_name(available)!r}")
        tensors.append(read_tensor(reader, available.vectors is not None))
    return tensors


def read_tensor(reader: Reader, of_vectors: bool) -> Tensor:
    tensor = Tensor()
    for member in reader.members(len(TENSOR), TENSOR):
        if member == "name":
            tensor.name = read_text(reader)
        elif member == "datatype":
            tensor.datatype = read_text(reader)
        elif member == "shape":
            tensor.shape = read_shape(reader)
        elif member == "parameters":
            parameters = read_parameters(reader)
            no_shared_memory(parameters)
            tensor.size = read_count(parameters, "binary_data_size", 0)
        else:
            if not of_vectors:
                require_known(tensor.datatype or DATATYPES[0])  # data of another type could be anything
            tensor.data = read_data(reader, FLOATS if of_vectors else PIXELS)
    return tensor


def data_of(tensor: Tensor, tail: memoryview, available: ModelOutputs) -> Data:
    return images_from(tensor, tail) if available.vectors is None else vectors_from(tensor, tail, available.vectors)


def vectors_from(tensor: Tensor, tail: memoryview, rule: InputRule) -> NDArray[np.float32]:
    """Sets of as many vectors each: those of other numbers are other requests, which share batches."""
    shape = require_described(tensor, VECTORS)
    if tensor.datatype != FLOATS.datatype:
        raise BadTensor(f"the input's datatype is {tensor.datatype!r}; it must be {FLOATS.datatype}, vectors")
    require_vectors(shape, rule)
    require_content(tensor, tail)
    if isinstance(tensor.data, list):
        raise BadTensor(f"data of {FLOATS.datatype} must be {FLOATS.named}, not strings")
    vectors = array_from_bytes(tail, shape, FLOATS) if tensor.data is None else array_from_numbers(tensor.data, shape)
    if not np.isfinite(vectors).all():
        raise BadTensor("a vector has a number that is not finite")
    return vectors


def images_from(tensor: Tensor, tail: memoryview) -> Data:
    """The images of the input, from its JSON data or from the bytes after the JSON."""
    shape = require_described(tensor, INPUT)
    require_known(tensor.datatype)
    (require_pixels if tensor.datatype == "UINT8" else require_elements)(shape)
    require_content(tensor, tail)
    if tensor.datatype == "UINT8":
        if isinstance(tensor.data, list):
            raise BadTensor("data of UINT8 must be whole numbers from 0 to 255, not strings")
        return array_from_bytes(tail, shape) if tensor.data is None else array_from_numbers(tensor.data, shape)
    if isinstance(tensor.data, Numbers):
        raise BadTensor("data of BYTES in JSON must be strings, each an image in base64")
    elements = decode_elements(tail) if tensor.data is None else elements_from_texts(tensor.data)
    require_size(len(elements), shape)
    return elements


def require_described(tensor: Tensor, name: str) -> Shape:
    """The shape of the input, which has this name."""
    if tensor.name != name:
        raise BadTensor(f"the input's name is {tensor.name!r}; the model has one, {name!r}")
    if tensor.shape is None:
        raise BadTensor("the input has no shape")
    return tensor.shape


def require_content(tensor: Tensor, tail: memoryview) -> None:
    """Require the data in the JSON, or all bytes after it."""
    if (tensor.size is None) == (tensor.data is None):
        raise BadTensor("the input must have either data, or binary_data_size and its bytes after the JSON")
    if (tensor.size or 0) != len(tail):
        raise BadTensor(
            f"{len(tail):,} bytes follow the JSON, but binary_data_size is {tensor.size or 0:,}; "
            "the header Inference-Header-Content-Length gives the length of the JSON"
        )


def require_known(datatype: str | None) -> None:
    if datatype not in DATATYPES:
        raise BadTensor(f"the input's datatype is {datatype!r}; it must be UINT8, pixels, or BYTES, encoded images")


def read_shape(reader: Reader) -> Shape:
    sides: list[int] = []
    for _ in reader.items():
        side = reader.scalar()
        if type(side) is not int or side < 0 or len(sides) == MAX_DIMENSIONS:
            raise BadTensor(f"a shape must be a list of at most {MAX_DIMENSIONS} whole numbers")
        sides.append(side)
    return tuple(sides)


def read_outputs(reader: Reader, available: ModelOutputs) -> list[Output]:
    outputs: list[Output] = []
    for _ in reader.items():
        outputs.append(read_output(reader, available))
        refuse_repeated(outputs)
    return outputs


def refuse_repeated(outputs: Sequence[Output]) -> None:
    """Of a list in which all but the last are known to differ."""
    if outputs and outputs[-1].name in [other.name for other in outputs[:-1]]:
        raise bad_output(f"the output {outputs[-1].name!r} is requested twice")


def read_output(reader: Reader, available: ModelOutputs) -> Output:
    name, parameters = "", Parameters()
    for member in reader.members(len(OUTPUT), OUTPUT):
        if member == "name":
            name = read_text(reader)
        else:
            parameters = read_parameters(reader)
    return chosen_output(name, parameters, available)


def chosen_output(name: str, parameters: Parameters, available: ModelOutputs) -> Output:
    """A requested output, if the model has it."""
    if name not in available.outputs:
        raise bad_output(f"the output {name[:80]!r} is unknown; the model has {', '.join(available.outputs)}")
    no_shared_memory(parameters)
    classes = read_count(parameters, "classification", 1)
    if classes and name not in available.scores:
        able = f"it is for {' and '.join(available.scores)}" if available.scores else "no output of this model has it"
        raise bad_output(f"{name} has no classification; {able}")
    return Output(name, read_flag(parameters, "binary_data"), classes)


def read_parameters(reader: Reader) -> Parameters:
    """Parameters by name; unknown ones are ignored, as in other servers."""
    return {name: reader.scalar() for name in reader.members(MAX_PARAMETERS)}


def no_shared_memory(parameters: Parameters) -> None:
    if "shared_memory_region" in parameters:
        raise Problem(400, "no_shared_memory", "tensors in shared memory are not supported; send the bytes")


def read_flag(parameters: Parameters, name: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise Problem(400, "bad_parameter", f"the parameter {name} must be true or false")
    return value


def read_count(parameters: Parameters, name: str, minimum: int) -> int | None:
    value = parameters.get(name)
    if value is not None and (type(value) is not int or value < minimum):
        raise Problem(400, "bad_parameter", f"the parameter {name} must be a whole number, at least {minimum}")
    return value


def read_text(reader: Reader) -> str:
    text = reader.string()
    if len(text) > MAX_TEXT or SURROGATE.search(text):
        raise reader.problem(f"names and ids have at most {MAX_TEXT:,} characters, and no lone surrogates")
    return text


def bad_output(why: str) -> Problem:
    return Problem(400, "bad_output", why)
