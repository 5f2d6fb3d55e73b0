"""Data of the input tensor: numbers or texts in JSON, or the bytes behind it; only ever what its shape asks for."""

import json
import re
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.serving.http.json_images import image
from vitrail.serving.http.json_reader import Reader
from vitrail.serving.http.problems import Problem
from vitrail.serving.http.request_images import MAX_IMAGES, not_too_many

MAX_SIDE = 4096  # pixels of an array's height or width: the graph's resize is slow and large on long thin ones
PIECE = 65_536  # characters of numbers that are read in one go: between two goes other threads may run
RUN = re.compile(r"[\[\]0-9, \t\n\r]*+")
NUMBER = re.compile(rb"[0-9]+")
WITHOUT_BRACKETS = bytes.maketrans(b"[]", b"  ")
SPACE = b" \t\n\r"

Shape = tuple[int, ...]
Data = NDArray[np.uint8] | list[bytes]  # images [N, H, W, 3], or encoded ones


@dataclass(frozen=True)
class Numbers:
    """An array of JSON numbers, however nested: the numbers, and the text around them with each written as 0."""

    values: bytes
    outline: bytes


class BadTensor(Problem):
    """An input that is not what it says, or not what the model takes."""

    def __init__(self, why: str) -> None:
        super().__init__(400, "bad_tensor", why)


def read_data(reader: Reader) -> Numbers | list[str]:
    """The value of the member `data`, whose shape may only be told after it."""
    start = reader.at
    reader.expect("[")
    if not reader.finds('"'):
        reader.at = start
        return read_numbers(reader)
    reader.at = start
    texts = []
    for _ in reader.items():
        texts.append(reader.string())
        not_too_many(texts)
    return texts


def read_numbers(reader: Reader) -> Numbers:
    """Whole numbers from 0 to 255, piece by piece; whatever else stands there ends the array too early."""
    values, outline = bytearray(), bytearray()
    while piece := next_piece(reader):
        outline += NUMBER.sub(b"0", piece).translate(None, SPACE)
        inner = piece.translate(WITHOUT_BRACKETS).rstrip(SPACE).removesuffix(b",")
        try:
            values += bytes(json.loads(b"[" + inner + b"]"))
        except ValueError as fault:
            raise no_pixel(reader) from fault
    if outline.endswith(b","):  # it stands behind the array
        del outline[-1]
        reader.at -= 1
    if outline.count(b"[") != outline.count(b"]"):
        raise no_pixel(reader)
    return Numbers(bytes(values), bytes(outline))


def no_pixel(reader: Reader) -> BadTensor:
    return BadTensor(f"data of UINT8 are whole numbers from 0 to 255; before character {reader.at} is something else")


def next_piece(reader: Reader) -> bytes:
    """Some of the numbers that follow, never a part of one, with the commas and brackets around them."""
    run = RUN.match(reader.text, reader.at, reader.at + PIECE)
    assert run is not None
    piece = run[0]
    if len(piece) == PIECE:
        piece = piece[: piece.rfind(",") + 1]
        if not piece:
            raise BadTensor(f"there is no number in {PIECE:,} characters of data, from character {reader.at} on")
    else:
        piece = piece.rstrip(" \t\n\r,")  # what follows the array belongs to the object around it
    reader.at += len(piece)
    return piece.encode()


def array_of(found: Numbers, shape: Shape) -> NDArray[np.uint8]:
    """Numbers as an array of this shape, whether they came flat or nested as it is."""
    require_size(len(found.values), shape)
    if found.outline not in (flat(shape), nested(shape)):
        raise BadTensor(f"data are neither a flat list nor lists nested as the shape {list(shape)} says")
    return np.frombuffer(found.values, np.uint8).reshape(shape)


def flat(shape: Shape) -> bytes:
    return nested((size_of(shape),))


def nested(shape: Shape) -> bytes:
    """How an array of this shape looks in JSON if all its numbers are 0: (2, 1) → [[0],[0]]."""
    outline = b"0"
    for side in reversed(shape):
        outline = b"[" + b",".join([outline] * side) + b"]"
    return outline


def size_of(shape: Shape) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def require_size(found: int, shape: Shape) -> None:
    if found != size_of(shape):
        raise BadTensor(f"the shape {list(shape)} asks for {size_of(shape)} values; there are {found}")


def array_at(data: memoryview, shape: Shape) -> NDArray[np.uint8]:
    """Bytes as the array that they are; nothing is copied."""
    require_size(len(data), shape)
    return np.frombuffer(data, np.uint8).reshape(shape)


def elements_at(data: memoryview) -> list[bytes]:
    """Elements of BYTES, each behind its length in four bytes, the lowest first."""
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise BadTensor(f"after {len(elements)} elements {len(data) - at} bytes are left: no length")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if length > len(data) - at:
            raise BadTensor(f"element {len(elements)} has {length:,} bytes by its length; {len(data) - at:,} are left")
        elements.append(bytes(data[at : at + length]))
        not_too_many(elements)
        at += length
    return elements


def elements_of(texts: list[str]) -> list[bytes]:
    """Elements of BYTES in JSON, which has no bytes: images in base64."""
    return [image(text, f"data[{number}]") for number, text in enumerate(texts)]


def require_pixels(shape: Shape) -> None:
    """Images [N, H, W, 3] that the model can be shown."""
    if len(shape) != 4 or shape[3] != 3 or 0 in shape:
        raise BadTensor(f"UINT8 images have the shape [N, height, width, 3], at least 1 each; this is {list(shape)}")
    require_few(shape[0])
    if max(shape[1:3]) > MAX_SIDE:
        raise BadTensor(
            f"height and width of an array are at most {MAX_SIDE}; this is {list(shape)}: send larger images as BYTES"
        )


def require_elements(shape: Shape) -> None:
    """Encoded images [N], or [N, 1] as clients that think in batches write it."""
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or shape[0] == 0:
        raise BadTensor(f"BYTES have the shape [N] or [N, 1], at least one image; this is {list(shape)}")
    require_few(shape[0])


def require_few(images: int) -> None:
    if images > MAX_IMAGES:
        raise Problem(413, "too_many_images", f"{images:,} images are more than the {MAX_IMAGES} of a request")
