"""What an inference request asks: read strictly from its JSON, and from the bytes behind it."""

import re
from dataclasses import dataclass, replace

from vitrail.serving.http.json_reader import Reader, Scalar, reader_of
from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.v2.tensors import (
    BadTensor,
    Data,
    Numbers,
    Shape,
    array_at,
    array_of,
    elements_at,
    elements_of,
    read_data,
    require_elements,
    require_pixels,
    require_size,
)

INPUT = "image"
OUTPUTS = ("probabilities", "logits", "values", "embedding")  # of models of any task
DATATYPES = ("UINT8", "BYTES")
FORM = (
    'of the form {"inputs": [{"name": "image", "datatype": "UINT8" or "BYTES", "shape": […], "data": […]}]}, '
    "and may have id, parameters and outputs"
)
LONGEST_TEXT = 1000  # characters of a name or an id
SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write one alone; UTF-8 cannot
MOST_PARAMETERS = 64
MOST_SIDES = 8
REQUEST = frozenset({"id", "parameters", "inputs", "outputs"})
TENSOR = frozenset({"name", "datatype", "shape", "parameters", "data"})
OUTPUT = frozenset({"name", "parameters"})

Parameters = dict[str, Scalar]


@dataclass(frozen=True)
class Output:
    """An output that is asked for: as bytes behind the JSON or in it, and perhaps as so many classes instead."""

    name: str
    binary: bool | None = None  # None: as the request says for all
    classes: int | None = None


@dataclass(frozen=True)
class Asked:
    """The images, and what to answer."""

    images: Data
    outputs: tuple[Output, ...]
    id: str | None


@dataclass
class Tensor:
    """An input as its object in the JSON tells it."""

    name: str | None = None
    datatype: str | None = None
    shape: Shape | None = None
    size: int | None = None  # in bytes, behind the JSON
    data: Numbers | list[str] | None = None


@dataclass(frozen=True)
class Offered:
    """What the model answers with: its outputs, and those of them with one number a class."""

    outputs: tuple[str, ...]
    scores: tuple[str, ...]


def read_asked(body: bytes, length: int | None, offered: Offered) -> Asked:
    """The request in a body whose first `length` bytes are JSON; all of it where that is not said."""
    reader = reader_of(body if length is None else body[:length], FORM)
    behind = memoryview(body)[len(body) if length is None else length :]
    name: str | None = None
    parameters: Parameters = {}
    inputs: list[Tensor] = []
    outputs: list[Output] = []
    for member in reader.members(len(REQUEST), REQUEST):
        if member == "id":
            name = short(reader)
        elif member == "parameters":
            parameters = read_parameters(reader)
        elif member == "inputs":
            inputs = read_inputs(reader)
        else:
            outputs = read_outputs(reader, offered)
    reader.expect_end()
    if not inputs:
        raise BadTensor(f"there is no input; the model has one, {INPUT!r}")
    binary = truth(parameters, "binary_data_output") or False
    wanted = outputs or [Output(known) for known in offered.outputs]
    settled = tuple(output if output.binary is not None else replace(output, binary=binary) for output in wanted)
    return Asked(images_of(inputs[0], behind), settled, name)


def read_inputs(reader: Reader) -> list[Tensor]:
    found = []
    for number in reader.items():
        if number:
            raise BadTensor(f"there is more than one input; the model has one, {INPUT!r}")
        found.append(read_tensor(reader))
    return found


def read_tensor(reader: Reader) -> Tensor:
    tensor = Tensor()
    for member in reader.members(len(TENSOR), TENSOR):
        if member == "name":
            tensor.name = short(reader)
        elif member == "datatype":
            tensor.datatype = short(reader)
        elif member == "shape":
            tensor.shape = read_shape(reader)
        elif member == "parameters":
            parameters = read_parameters(reader)
            no_shared_memory(parameters)
            tensor.size = count(parameters, "binary_data_size", 0)
        else:
            require_known(tensor.datatype or DATATYPES[0])  # of another one, data may be anything
            tensor.data = read_data(reader)
    return tensor


def images_of(tensor: Tensor, behind: memoryview) -> Data:
    """The images of the one input, wherever its data are."""
    if tensor.name != INPUT:
        raise BadTensor(f"the input's name is {tensor.name!r}; the model has one, {INPUT!r}")
    if tensor.shape is None:
        raise BadTensor("the input has no shape")
    require_known(tensor.datatype)
    (require_pixels if tensor.datatype == "UINT8" else require_elements)(tensor.shape)
    if (tensor.size is None) == (tensor.data is None):
        raise BadTensor("the input must have either data, or binary_data_size and its bytes behind the JSON")
    if (tensor.size or 0) != len(behind):
        raise BadTensor(
            f"behind the JSON are {len(behind):,} bytes, and binary_data_size says {tensor.size or 0:,}; "
            "the header Inference-Header-Content-Length tells how long the JSON is"
        )
    if tensor.datatype == "UINT8":
        if isinstance(tensor.data, list):
            raise BadTensor("data of UINT8 are whole numbers from 0 to 255, not texts")
        return array_at(behind, tensor.shape) if tensor.data is None else array_of(tensor.data, tensor.shape)
    if isinstance(tensor.data, Numbers):
        raise BadTensor("data of BYTES in JSON are texts: each an image in base64")
    elements = elements_at(behind) if tensor.data is None else elements_of(tensor.data)
    require_size(len(elements), tensor.shape)
    return elements


def require_known(datatype: str | None) -> None:
    if datatype not in DATATYPES:
        raise BadTensor(f"the input's datatype is {datatype!r}; it must be UINT8, pixels, or BYTES, encoded images")


def read_shape(reader: Reader) -> Shape:
    sides: list[int] = []
    for _ in reader.items():
        side = reader.scalar()
        if type(side) is not int or side < 0 or len(sides) == MOST_SIDES:
            raise BadTensor(f"a shape is a list of at most {MOST_SIDES} whole numbers")
        sides.append(side)
    return tuple(sides)


def read_outputs(reader: Reader, offered: Offered) -> list[Output]:
    outputs: list[Output] = []
    for _ in reader.items():
        output = read_output(reader, offered)
        if output.name in [other.name for other in outputs]:
            raise bad_output(f"the output {output.name!r} is asked for twice")
        outputs.append(output)
    return outputs


def read_output(reader: Reader, offered: Offered) -> Output:
    name, parameters = "", Parameters()
    for member in reader.members(len(OUTPUT), OUTPUT):
        if member == "name":
            name = short(reader)
        else:
            parameters = read_parameters(reader)
    if name not in offered.outputs:
        raise bad_output(f"the output {name[:80]!r} is unknown; there are {', '.join(offered.outputs)}")
    no_shared_memory(parameters)
    classes = count(parameters, "classification", 1)
    if classes and name not in offered.scores:
        able = f"it is for {' and '.join(offered.scores)}" if offered.scores else "no output of this model can have it"
        raise bad_output(f"{name} has no classification; {able}")
    return Output(name, truth(parameters, "binary_data"), classes)


def read_parameters(reader: Reader) -> Parameters:
    """Parameters by name. Those that nothing is known of are passed over, as other servers do."""
    return {name: reader.scalar() for name in reader.members(MOST_PARAMETERS)}


def no_shared_memory(parameters: Parameters) -> None:
    if "shared_memory_region" in parameters:
        raise Problem(400, "no_shared_memory", "tensors in shared memory are not supported; send the bytes")


def truth(parameters: Parameters, name: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise Problem(400, "bad_parameter", f"the parameter {name} must be true or false")
    return value


def count(parameters: Parameters, name: str, least: int) -> int | None:
    value = parameters.get(name)
    if value is not None and (type(value) is not int or value < least):
        raise Problem(400, "bad_parameter", f"the parameter {name} must be a whole number, at least {least}")
    return value


def short(reader: Reader) -> str:
    text = reader.string()
    if len(text) > LONGEST_TEXT or SURROGATE.search(text):
        raise reader.bad(f"names and ids have at most {LONGEST_TEXT:,} characters, and no half ones")
    return text


def bad_output(why: str) -> Problem:
    return Problem(400, "bad_output", why)
