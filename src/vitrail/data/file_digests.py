"""SHA-256 of many files, cached in the user's cache folder while a file is unchanged."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from time import time_ns
from zipfile import BadZipFile

import numpy as np

from vitrail.atomic import write_atomically
from vitrail.data.contents import Digests
from vitrail.data.user_cache import user_cache
from vitrail.errors import DataError

# A digest is reused while all four are unchanged. Length and mtime alone miss a file that was replaced by another of
# equal length and mtime (`cp -p`, `rsync -t`, `touch -r`); no program can set the ctime.
State = tuple[int, int, int, int]  # length, mtime_ns, ctime_ns, inode
Entry = tuple[State, bytes]

# Within one tick of its file system's clock (2 s on FAT) a file may change and look the same, so a file that changed
# within a tick before it was hashed is hashed again next time.
TICK = 2_000_000_000  # ns
TOGETHER = 64  # files a task: a small file is hashed faster than it is handed to a thread
BLOCK = 1 << 20  # bytes read at once

UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)  # a cache file that is absent or damaged


class FileDigests:
    """Digests of the files below one folder, each file hashed once, on first use."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._digests: dict[str, bytes] = {}

    def of(self, names: Sequence[str]) -> Digests:
        """[N, 32], of the files of these names."""
        missing = [name for name in dict.fromkeys(names) if name not in self._digests]
        if missing:
            self._digests |= file_digests(self._root, missing)
        joined = b"".join(self._digests[name] for name in names)
        return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def file_digests(root: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The digest of each of these files below `root`, cached or new."""
    store, folder = cache_file(root), str(root)
    known = read_entries(store)
    digests: dict[str, bytes] = {}
    fresh: dict[str, Entry] = {}

    def look_up(begin: int) -> None:
        for name in names[begin : begin + TOGETHER]:
            path = f"{folder}/{name}"
            try:
                entry = known.get(name)
                if entry is not None and entry[0] == state_of(os.stat(path)):
                    digests[name] = entry[1]
                    continue
                digests[name], state = read_digest(path)
            except OSError as fault:
                raise DataError(f"{path} cannot be read: {fault.strerror}") from fault
            if state is not None:
                fresh[name] = state, digests[name]

    with ThreadPoolExecutor() as pool:
        list(pool.map(look_up, range(0, len(names), TOGETHER)))
    if fresh:
        others = {name: entry for name, entry in known.items() if name in digests or os.path.exists(f"{folder}/{name}")}
        write_entries(store, others | fresh)
    return digests


def state_of(status: os.stat_result) -> State:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & (2**63 - 1)


def read_digest(path: str) -> tuple[bytes, State | None]:
    """A file's digest, and the state to cache it under, or None if it may not be cached."""
    begin = time_ns()
    digest = sha256()
    with open(path, "rb", buffering=0) as file:
        before = state_of(os.fstat(file.fileno()))
        while block := file.read(BLOCK):
            digest.update(block)
        unchanged = before == state_of(os.fstat(file.fileno()))
    is_stable = unchanged and max(before[1], before[2]) + TICK < begin
    return digest.digest(), before if is_stable else None


def cache_file(root: Path) -> Path | None:
    """The cache file for digests below `root`; None without a cache folder."""
    folder = user_cache("digests")
    return folder and folder / f"{sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.npz"


def read_entries(store: Path | None) -> dict[str, Entry]:
    """The cached entries; none if the file cannot be read."""
    if store is None:
        return {}
    try:
        with np.load(store) as arrays:
            names = os.fsdecode(arrays["names"].tobytes()).split("\0")
            states, digests = arrays["states"].tolist(), arrays["digests"].tobytes()
    except UNREADABLE:
        return {}
    return {
        name: (tuple(state), digests[32 * i : 32 * i + 32])
        for i, (name, state) in enumerate(zip(names, states, strict=True))
    }


def write_entries(store: Path | None, entries: dict[str, Entry]) -> None:
    """Replace the whole file, so that processes may share it; overwritten entries are hashed again."""
    if store is None:
        return
    file = io.BytesIO()
    np.savez(
        file,
        names=np.frombuffer(os.fsencode("\0".join(entries)), np.uint8),
        states=np.array([state for state, _ in entries.values()], np.int64),
        digests=np.frombuffer(b"".join(digest for _, digest in entries.values()), np.uint8),
    )
    with suppress(OSError):  # a full or read-only disk: next time everything is hashed again
        write_atomically(store, file.getvalue())
