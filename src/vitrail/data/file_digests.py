"""SHA-256 of many files, cached in the user's cache folder while a file is unchanged."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from time import time_ns
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vitrail.atomic import draft_of
from vitrail.data.contents import Digests
from vitrail.data.file_tree import readable, unreadable
from vitrail.data.names import Names
from vitrail.data.user_cache import user_cache

# A digest is reused while all four are unchanged. Length and mtime alone miss a file that was replaced by another of
# equal length and mtime (`cp -p`, `rsync -t`, `touch -r`); no program can set the ctime.
State = tuple[int, int, int, int]  # length, mtime_ns, ctime_ns, inode

# Within one tick of its file system's clock (2 s on FAT) a file may change and look the same, so a file that changed
# within a tick before it was hashed is hashed again next time.
TICK = 2_000_000_000  # ns
ABSENT = -1
TOGETHER = 64  # files a task: a small file is hashed faster than it is handed to a thread
SUBMITTED = 1024 * TOGETHER  # files whose tasks are in the pool at once: a task takes some kilobytes
BLOCK = 1 << 20  # bytes read at once

UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)  # a cache file that is absent or damaged


@dataclass(frozen=True, eq=False)
class Entries:
    """Digests of files and the states in which they had them, as they are cached: some 100 bytes a file."""

    names: Names
    states: NDArray[np.int64]  # [N, 4]
    digests: Digests

    @classmethod
    def none(cls) -> "Entries":
        return cls(Names.of(()), np.empty((0, 4), np.int64), np.empty((0, 32), np.uint8))

    def take(self, rows: NDArray[np.int64]) -> "Entries":
        """Some of them, in order; all are not copied."""
        if len(rows) == len(self.names):
            return self
        return Entries(self.names.take(rows), self.states[rows], self.digests[rows])

    def __add__(self, other: "Entries") -> "Entries":
        if not len(self.names):
            return other
        return Entries(
            Names.of(chain(self.names, other.names)),
            np.concatenate([self.states, other.states]),
            np.concatenate([self.digests, other.digests]),
        )


class FileDigests:
    """Digests of the files below one folder, each file hashed once, on first use."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._hashes, self._digests = np.empty(0, np.int64), np.empty((0, 32), np.uint8)

    def of(self, names: Sequence[str]) -> Digests:
        """[N, 32], of the files of these names."""
        names = names if isinstance(names, Names) else Names.of(names)
        hashes = names.hashes()
        missing = np.flatnonzero(places(hashes, self._hashes) == ABSENT)
        if len(missing):
            missing = missing[np.sort(np.unique(hashes[missing], return_index=True)[1])]
            self._digests = np.concatenate([self._digests, file_digests(self._root, names.take(missing))])
            self._hashes = np.concatenate([self._hashes, hashes[missing]])
        return self._digests[places(hashes, self._hashes)]


def places(wanted: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each number is, or ABSENT. Of a million names, two share a hash by chance in 1 of 37 million processes."""
    if not len(among):
        return np.full(len(wanted), ABSENT)
    order = np.argsort(among)
    near = order[np.minimum(np.searchsorted(among, wanted, sorter=order), len(among) - 1)]
    return np.where(among[near] == wanted, near, ABSENT)


def file_digests(root: Path, names: Names) -> Digests:
    """The digest of each of these files below `root`, cached or new; the names are different."""
    store, folder = cache_file(root), str(root)
    known = read_entries(store)
    rows = places(names.hashes(), known.names.hashes())
    states, digests = np.zeros((len(names), 4), np.int64), np.empty((len(names), 32), np.uint8)
    is_fresh = np.zeros(len(names), bool)
    # In one thread: several would wait for the interpreter's lock at each file.
    for index, (name, row) in enumerate(zip(names, rows.tolist(), strict=True)):
        if row != ABSENT:
            states[index] = state_at(f"{folder}/{name}")
    is_same = rows != ABSENT
    is_same[is_same] = (known.states[rows[is_same]] == states[is_same]).all(axis=1)
    digests[is_same] = known.digests[rows[is_same]]

    def read(indices: NDArray[np.int64]) -> None:
        for index in indices.tolist():
            path = f"{folder}/{names[index]}"
            with readable(path):
                digest, state = read_digest(path)
            digests[index] = np.frombuffer(digest, np.uint8)
            states[index], is_fresh[index] = state or 0, state is not None

    others = np.flatnonzero(~is_same)
    with ThreadPoolExecutor() as pool:
        for some in np.split(others, range(SUBMITTED, len(others), SUBMITTED)):
            list(pool.map(read, np.split(some, range(TOGETHER, len(some), TOGETHER))))
    if is_fresh.any():
        unused = np.setdiff1d(np.arange(len(known.names)), rows)
        there = [i for i in unused.tolist() if os.path.exists(f"{folder}/{known.names[i]}")]
        used = Entries(names, states, digests).take(np.flatnonzero(states.any(axis=1)))
        write_entries(store, known.take(np.array(there, np.int64)) + used)
    return digests


def state_of(status: os.stat_result) -> State:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & (2**63 - 1)


def state_at(path: str) -> State:
    try:
        return state_of(os.stat(path))
    except OSError as fault:
        raise unreadable(path, fault) from fault


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


def read_entries(store: Path | None) -> Entries:
    """The cached entries; none if the file cannot be read."""
    if store is None:
        return Entries.none()
    try:
        with np.load(store) as arrays:
            names = Names(bytearray(arrays["names"]), arrays["ends"])
            return Entries(names, arrays["states"], arrays["digests"])
    except UNREADABLE:
        return Entries.none()


def write_entries(store: Path | None, entries: Entries) -> None:
    """Replace the whole file, so that processes may share it; overwritten entries are hashed again."""
    if store is None:
        return
    names = np.frombuffer(entries.names.buffer, np.uint8)
    with suppress(OSError):  # a full or read-only disk: next time everything is hashed again
        store.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(store) as draft, draft.open("wb") as file:
            np.savez(file, names=names, ends=entries.names.ends, states=entries.states, digests=entries.digests)
