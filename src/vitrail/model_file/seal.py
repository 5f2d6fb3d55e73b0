"""The seal: the last entry of a model file, a SHA-256 that shows that no byte before it has changed."""

import hashlib
from pathlib import Path

from vitrail.errors import ModelError

KEY = "vitrail.seal"
LENGTH = 82  # bytes of the entry: two of its own, two and the key, two and 64 hexadecimal digits
CHUNK = 1 << 20


def seal(content: bytes) -> bytes:
    """The file with its seal. Protobuf takes a further metadata entry at the end of a message as it is."""
    return content + entry(hashlib.sha256(content).hexdigest())


def entry(digest: str) -> bytes:
    """ModelProto.metadata_props (field 14), one StringStringEntryProto: key (field 1), value (field 2)."""
    inner = b"".join(tag + bytes([len(text)]) + text.encode() for tag, text in ((b"\x0a", KEY), (b"\x12", digest)))
    return b"\x72" + bytes([len(inner)]) + inner


def sealed_digest(path: Path) -> str:
    """The SHA-256 of a file whose seal is intact; any other is refused."""
    digest, intact = read_seal(path)
    if not intact:
        raise ModelError(
            f"{path} was altered after `vitrail export` wrote it (its seal is broken): copy or export it again"
        )
    return digest


def read_seal(path: Path) -> tuple[str, bool]:
    """The file's SHA-256, and whether its seal is intact."""
    before, left = hashlib.sha256(), max(0, path.stat().st_size - LENGTH)
    with path.open("rb") as file:
        while left and (chunk := file.read(min(CHUNK, left))):
            before.update(chunk)
            left -= len(chunk)
        last = file.read()
    intact = before.copy()
    intact.update(last)
    return intact.hexdigest(), last == entry(before.hexdigest())
