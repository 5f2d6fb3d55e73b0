"""Names of images, kept in little memory."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

AT_A_TIME = 10_000
# File names may have any bytes; those that are not UTF-8 become surrogates, as everywhere in Python.
ENCODING = ("utf-8", "surrogateescape")


class Names(Sequence[str]):
    """Texts end to end in one buffer: each takes its bytes and 8 more, where a Python string takes 50 more."""

    def __init__(self, buffer: bytearray, ends: NDArray[np.int64]) -> None:
        self.buffer, self.ends = buffer, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Names":
        builder, rest = NamesBuilder(), iter(texts)
        while some := list(islice(rest, AT_A_TIME)):
            builder.add(some)
        return builder.names()

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Names": ...
    def __getitem__(self, index: int | slice) -> "str | Names":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        return self.buffer[self.ends[index] : self.ends[index + 1]].decode(*ENCODING)

    def __iter__(self) -> Iterator[str]:
        for begin in range(0, len(self), AT_A_TIME):
            ends = self.ends[begin : begin + AT_A_TIME + 1].tolist()
            for start, end in pairwise(ends):
                yield self.buffer[start:end].decode(*ENCODING)

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same texts in the same order."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def take(self, indices: NDArray[np.int64]) -> "Names":
        indices = np.arange(len(self))[indices]
        starts = self.ends[indices]
        lengths = self.ends[indices + 1] - starts
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        source, taken = np.frombuffer(self.buffer, np.uint8), bytearray(ends[-1])
        out = np.frombuffer(taken, np.uint8)
        for begin in range(0, len(indices), AT_A_TIME):
            some = slice(begin, begin + AT_A_TIME)
            first, last = ends[begin], ends[min(begin + AT_A_TIME, len(indices))]
            out[first:last] = source[np.arange(first, last) + np.repeat(starts[some] - ends[:-1][some], lengths[some])]
        return Names(taken, ends)

    def hashes(self) -> NDArray[np.int64]:
        """Python's hash of each text, the same in this process only."""
        return np.fromiter(map(hash, self), np.int64, len(self))


class NamesBuilder:
    """Names that come a few at a time."""

    def __init__(self) -> None:
        self._buffer, self._ends = bytearray(), [np.zeros(1, np.int64)]

    def add(self, texts: Iterable[str]) -> None:
        encoded = [text.encode(*ENCODING) for text in texts]
        self._ends.append(len(self._buffer) + np.cumsum([len(one) for one in encoded], dtype=np.int64))
        self._buffer += b"".join(encoded)

    def names(self) -> Names:
        return Names(self._buffer, np.concatenate(self._ends))
