"""The data of an input tensor: numbers or strings in JSON, or the bytes after it, checked against its shape."""

import json
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.images.canvas import InputRule
from vitrail.serving.contract import MAX_SIDE
from vitrail.serving.http.json_reader import Reader
from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.request_images import decode_base64, require_max_images
from vitrail.serving.settings import MAX_IMAGES

PIECE = 65_536  # characters of numbers parsed at once: between two pieces other threads may run
BRACKETS_TO_SPACES = bytes.maketrans(b"[]", b"  ")
SPACE = b" \t\n\r"

Shape = tuple[int, ...]
Data = NDArray[Any] | list[bytes]  # images uint8 [N, H, W, 3], sets of vectors float32 [N, T, D], or encoded images


@dataclass(frozen=True)
class Element:
    """How the numbers of a datatype are written in JSON, and what they become."""

    datatype: str
    dtype: str
    named: str
    run: re.Pattern[str]  # numbers with their commas and brackets
    number: re.Pattern[bytes]

    def packed(self, numbers: list[Any]) -> bytes:
        """ValueError where one does not fit."""
        return bytes(numbers) if self.datatype == "UINT8" else np.array(numbers, self.dtype).tobytes()


PIXELS = Element(
    "UINT8", "u1", "whole numbers from 0 to 255", re.compile(r"[\[\]0-9, \t\n\r]*+"), re.compile(rb"[0-9]+")
)
FLOATS = Element(
    "FP32", "<f4", "numbers", re.compile(r"[\[\]0-9eE+\-., \t\n\r]*+"), re.compile(rb"-?[0-9][0-9eE+\-.]*")
)


@dataclass(frozen=True)
class Numbers:
    """A JSON array of numbers, flat or nested: the numbers, and the text with each number replaced by 0."""

    values: bytes
    outline: bytes
    element: Element = PIXELS


class BadTensor(Problem):
    """An input that contradicts its own description, or that the model does not take."""

    def __init__(self, why: str) -> None:
        super().__init__(400, "bad_tensor", why)


def read_data(reader: Reader, element: Element = PIXELS) -> Numbers | list[str]:
    """The value of the member `data`; the member `shape` may come after it."""
    start = reader.position
    reader.expect("[")
    if not reader.accept('"'):
        reader.position = start
        return read_numbers(reader, element)
    reader.position = start
    texts = []
    for _ in reader.items():
        texts.append(reader.string())
        require_max_images(texts)
    return texts


def read_numbers(reader: Reader, element: Element) -> Numbers:
    """The numbers, piece by piece; anything else ends the array early, which is an error."""
    values, outline = bytearray(), bytearray()
    while piece := next_piece(reader, element):
        outline += element.number.sub(b"0", piece).translate(None, SPACE)
        inner = piece.translate(BRACKETS_TO_SPACES).rstrip(SPACE).removesuffix(b",")
        try:
            values += element.packed(json.loads(b"[" + inner + b"]"))
        except ValueError as error:
            raise not_a_number(reader, element) from error
    if outline.endswith(b","):  # it follows the array
        del outline[-1]
        reader.position -= 1
    if outline.count(b"[") != outline.count(b"]"):
        raise not_a_number(reader, element)
    return Numbers(bytes(values), bytes(outline), element)


def not_a_number(reader: Reader, element: Element) -> BadTensor:
    return BadTensor(
        f"data of {element.datatype} must be {element.named}; before character {reader.position} is something else"
    )


def next_piece(reader: Reader, element: Element) -> bytes:
    """The next numbers, with their commas and brackets; never part of a number."""
    run = element.run.match(reader.text, reader.position, reader.position + PIECE)
    assert run is not None
    piece = run[0]
    if len(piece) == PIECE:
        piece = piece[: piece.rfind(",") + 1]
        if not piece:
            raise BadTensor(f"there is no number in {PIECE:,} characters of data, from character {reader.position} on")
    else:
        piece = piece.rstrip(" \t\n\r,")  # what follows the array belongs to the enclosing object
    reader.position += len(piece)
    return piece.encode()


def array_from_numbers(numbers: Numbers, shape: Shape) -> NDArray[Any]:
    """Numbers as an array of this shape, whether they were sent flat or nested."""
    array = array_from_bytes(memoryview(numbers.values), shape, numbers.element)
    if numbers.outline not in (flat(shape), nested(shape)):
        raise BadTensor(f"data must be a flat list, or lists nested as the shape {list(shape)}")
    return array


def flat(shape: Shape) -> bytes:
    return nested((size_of(shape),))


def nested(shape: Shape) -> bytes:
    """The JSON of an array of zeros of this shape: (2, 1) → [[0],[0]]."""
    outline = b"0"
    for side in reversed(shape):
        outline = b"[" + b",".join([outline] * side) + b"]"
    return outline


def size_of(shape: Shape) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def require_size(count: float, shape: Shape) -> None:
    if count != size_of(shape):
        raise BadTensor(f"the shape {list(shape)} needs {size_of(shape)} values; there are {count:g}")


def array_from_bytes(data: memoryview, shape: Shape, element: Element = PIXELS) -> NDArray[Any]:
    """Bytes as an array of this shape, without a copy."""
    dtype = np.dtype(element.dtype)
    require_size(len(data) / dtype.itemsize, shape)
    return np.frombuffer(data, dtype).reshape(shape)


def decode_elements(data: memoryview) -> list[bytes]:
    """Elements of BYTES, each after its length as a little-endian uint32."""
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise BadTensor(f"after {len(elements)} elements {len(data) - at} bytes are left: too few for a length")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if length > len(data) - at:
            raise BadTensor(
                f"element {len(elements)} has the length {length:,}; only {len(data) - at:,} bytes are left"
            )
        elements.append(bytes(data[at : at + length]))
        require_max_images(elements)
        at += length
    return elements


def elements_from_texts(texts: list[str]) -> list[bytes]:
    """Elements of BYTES in JSON: images in base64."""
    return [decode_base64(text, f"data[{number}]") for number, text in enumerate(texts)]


def require_pixels(shape: Shape) -> None:
    """Require the shape [N, H, W, 3] of images that the model takes."""
    if len(shape) != 4 or shape[3] != 3 or 0 in shape:
        raise BadTensor(f"UINT8 images have the shape [N, height, width, 3], at least 1 each; this is {list(shape)}")
    require_few(shape[0])
    if max(shape[1:3]) > MAX_SIDE:
        raise BadTensor(
            f"height and width of an array are at most {MAX_SIDE}; this is {list(shape)}: send larger images as BYTES"
        )


def require_vectors(shape: Shape, rule: InputRule) -> None:
    """Require the shape [N, T, width] of sets that the model takes."""
    if len(shape) != 3 or shape[2] != rule.width or 0 in shape or shape[1] > rule.size:
        raise BadTensor(
            f"FP32 vectors have the shape [N, T, {rule.width}], at least 1 set and 1 to {rule.size:,} vectors in each; "
            f"this is {list(shape)}"
        )
    require_few(shape[0])


def require_elements(shape: Shape) -> None:
    """Require the shape [N] of encoded images, or [N, 1], which clients with a batch dimension send."""
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or shape[0] == 0:
        raise BadTensor(f"BYTES have the shape [N] or [N, 1], at least one image; this is {list(shape)}")
    require_few(shape[0])


def require_few(images: int) -> None:
    if images > MAX_IMAGES:
        raise Problem(
            413, "too_many_images", f"{images:,} images are more than the {MAX_IMAGES} that a request may have"
        )
