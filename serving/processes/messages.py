"""The messages between a front and an engine: what to compute and where it lies, and how it ended."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import NamedTuple

MAX_CALLER = 200  # bytes of a caller's name; a proxy may send any
MAX_TEXT = 2_000  # bytes of an error's message

HEAD = struct.Struct("<BI")  # kind and id
WORK = struct.Struct("<BIQQIIII16s8s")
RESULT = struct.Struct("<BIB")
AXES = struct.Struct("<B")


class Kind(IntEnum):
    """What a message is; those after STATE answer a request."""

    ATTACH = 1  # with the descriptor of the front's arena, whose size is the id… in ATTACH
    PREDICT = 2
    RESIZE = 3
    EXPLAIN = 4
    CANCEL = 5
    STATE = 6  # with the descriptor of what is known of the model
    DONE = 7
    BUSY = 8
    FAILED = 9


class Work(NamedTuple):
    """Images [images, height, width, 3] in the arena at `offset`, where `size` bytes are for the results."""

    kind: int
    id: int
    offset: int
    size: int
    images: int
    height: int
    width: int
    label: int  # the index of the class to explain; in PREDICT, how many canvases stay together
    trace: bytes  # and span, of the request; zeros where none is recorded
    span: bytes
    caller: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.images, self.height, self.width, 3

    def encode(self) -> bytes:
        return WORK.pack(*self[:-1]) + self.caller.encode(errors="replace")[:MAX_CALLER]

    @classmethod
    def decode(cls, message: bytes) -> "Work":
        caller = message[WORK.size :].decode(errors="replace")
        return cls(*(*WORK.unpack_from(message), caller))


@dataclass(frozen=True)
class Results:
    """The shapes of float32 arrays, one after the other in the region of the request or in a descriptor."""

    shapes: Sequence[tuple[int, ...]]

    @property
    def size(self) -> int:
        return 4 * sum(map(prod, self.shapes))

    def encode(self, request: int) -> bytes:
        parts = [RESULT.pack(Kind.DONE, request, len(self.shapes))]
        parts += [struct.pack(f"<B{len(shape)}I", len(shape), *shape) for shape in self.shapes]
        return b"".join(parts)

    @classmethod
    def decode(cls, message: bytes) -> "Results":
        _, _, arrays = RESULT.unpack_from(message)
        shapes, place = [], RESULT.size
        for _ in range(arrays):
            (axes,) = AXES.unpack_from(message, place)
            shapes.append(struct.unpack_from(f"<{axes}I", message, place + AXES.size))
            place += AXES.size + 4 * axes
        return cls(shapes)


def error(kind: Kind, request: int, text: str) -> bytes:
    return HEAD.pack(kind, request) + text.encode(errors="replace")[:MAX_TEXT]


def text_of(message: bytes) -> str:
    return message[HEAD.size :].decode(errors="replace")
