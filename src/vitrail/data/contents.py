"""Images by content, so that they are recognised under another name or in another folder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from vitrail.data.names import Names

Keys = NDArray[np.int64]
Digests = NDArray[np.uint8]  # [N, 32], SHA-256


@dataclass(frozen=True, eq=False)
class Contents:
    """The images of one part in order; none is decoded.

    A key is the first 8 bytes of a SHA-256: of a million images, two share one by chance in 1 of 37 million sets.
    """

    names: Sequence[str]
    images: Keys  # [N], of the bytes of the image's file, or of its pixels if it has no file
    targets: Keys  # [N]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, chosen: NDArray[np.int64] | None) -> "Contents":
        if chosen is None:
            return self
        names = self.names if isinstance(self.names, Names) else Names.of(self.names)
        return Contents(names.take(chosen), self.images[chosen], self.targets[chosen])


def digests_of(rows: Iterable[bytes]) -> Digests:
    joined = b"".join(sha256(row).digest() for row in rows)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def keys_of(digests: Digests) -> Keys:
    return np.ascontiguousarray(digests[:, :8]).view("<i8")[:, 0].astype(np.int64)


def row_keys(rows: NDArray[np.generic]) -> Keys:
    """Of each entry along the first axis."""
    little = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
    return keys_of(digests_of(row.tobytes() for row in little))


def text_keys(texts: Iterable[str]) -> Keys:
    return keys_of(digests_of(text.encode("utf-8", "surrogateescape") for text in texts))
