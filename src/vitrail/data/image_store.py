"""Decoded images on disk by content: memory-mapped, shared by processes, bounded in size, safe against a kill."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vitrail.atomic import write_atomically
from vitrail.data.contents import Keys
from vitrail.data.user_cache import user_cache

SEGMENT = 128 << 20  # bytes of pixels a file: what a killed process loses at most
LEFT_FREE = 5 << 30  # bytes of the disk that are never used; of a small one, a tenth
RECENT = 3600  # seconds in which a segment that was used is not removed
ENTRY = np.dtype([("key", "<i8"), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4")])
NOT_KEPT = -1  # the offset of an image that decodes, but whose pixels found no room

Entries = NDArray[np.void]
Rows = NDArray[np.int64]
MISSING = -1


def open_store(form: str, limit: int) -> "ImageStore | None":
    """The store of a form in the user's cache folder; None where nothing can be written."""
    root = user_cache("images")
    try:
        return ImageStore(root, form, limit) if root else None
    except OSError:
        return None


class ImageStore:
    """The images of one form below the folder of all forms, whose files take at most `limit` bytes together.

    Pixels are appended to a segment file. Its index is written when it is complete, so that a file without an index is
    one that is being written, or what a killed process left behind.
    """

    def __init__(self, root: Path, form: str, limit: int) -> None:
        self.root, self.folder, self.limit = root, root / form, limit
        self.fault: OSError | None = None  # by which the last writer ended
        self.lock = self.folder / "lock"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock.open("ab").close()  # an OSError where it cannot be written
        self.refresh()

    def refresh(self) -> None:
        """Read the indexes of all complete segments, those of other processes among them."""
        self.stored = StoredImages(self.folder)

    @contextmanager
    def filling(self) -> Iterator["StoreWriter"]:
        """For the one process that decodes missing images; others wait, and find them afterwards."""
        with self.lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            remove_abandoned(self.folder)
            self.refresh()
            writer = StoreWriter(self)
            try:
                yield writer
            finally:
                writer.close()
                self.fault = writer.fault
                self.refresh()


class StoredImages:
    """What a store held when its indexes were read. A row is the place of an image among all entries."""

    def __init__(self, folder: Path) -> None:
        indexes = {path: entries for path in sorted(folder.glob("*.npy")) if len(entries := read_index(path))}
        self.segments = [path.with_suffix(".pixels") for path in indexes]
        self.maps: dict[int, NDArray[np.uint8]] = {}
        joined = np.concatenate([np.empty(0, ENTRY), *indexes.values()])
        owners = np.repeat(np.arange(len(indexes), dtype=np.int32), [len(entries) for entries in indexes.values()])
        # Of an image that several segments hold, one that has its pixels.
        order = np.lexsort((joined["offset"] == NOT_KEPT, joined["key"]))
        keys = joined["key"][order]
        first = order[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(order) else order
        self.entries, self.owners = joined[first], owners[first]

    def rows(self, keys: Keys) -> Rows:
        """The row of each image, or MISSING. Their segments count as used, and are the last to be removed."""
        if not len(self.entries):
            return np.full(len(keys), MISSING)
        near = np.minimum(np.searchsorted(self.entries["key"], keys), len(self.entries) - 1)
        rows = np.where(self.entries["key"][near] == keys, near, MISSING)
        for owner in np.unique(self.owners[rows[rows != MISSING]]):
            with suppress(OSError):
                os.utime(self.segments[owner])
        return rows

    def have_pixels(self, rows: Rows) -> bool:
        """Whether none is missing, nor kept without its pixels."""
        return bool((rows != MISSING).all() and (self.entries["offset"][rows] != NOT_KEPT).all())

    def image(self, row: int) -> NDArray[np.uint8] | None:
        """Its pixels [height, width, 3], mapped; None where they are not kept or no longer there."""
        entry = self.entries[row]
        offset, height, width = int(entry["offset"]), int(entry["height"]), int(entry["width"])
        pixels = None if offset == NOT_KEPT else self.mapped(int(self.owners[row]))
        if pixels is None or offset + height * width * 3 > len(pixels):
            return None
        return pixels[offset : offset + height * width * 3].reshape(height, width, 3)

    def mapped(self, owner: int) -> NDArray[np.uint8] | None:
        if owner not in self.maps:
            try:
                self.maps[owner] = np.memmap(self.segments[owner], np.uint8, "r")
            except (OSError, ValueError):  # removed by another process; empty
                return None
        return self.maps[owner]


class StoreWriter:
    """Appends images to a store, from several threads; a disk that is full ends it, and costs nobody an image."""

    def __init__(self, store: ImageStore) -> None:
        self.store = store
        self.lock = Lock()
        self.segment: Segment | None = None
        self.fault: OSError | None = None

    def put(self, key: int, image: NDArray[np.uint8]) -> None:
        """Keep an image; it is found after `close`. Without room, only that it decodes is kept."""
        with self.lock, self.faults_end_it():
            if self.fault is not None:
                return
            if self.segment is not None and self.segment.size > 0 and not self.fits(image):
                self.complete()  # the next one may remove others
            if self.segment is None:
                self.segment = Segment(self.store.folder)
                self.room = self.measured_room()
            self.segment.add(key, image if self.fits(image) else None)
            if self.segment.size >= SEGMENT:
                self.complete()

    def fits(self, image: NDArray[np.uint8]) -> bool:
        return self.segment is not None and self.segment.size + image.nbytes <= self.room

    def measured_room(self) -> int:
        """Bytes for a new segment; unused ones are removed for it."""
        free = usable_bytes(self.store.folder)
        room = min(self.store.limit - stored_bytes(self.store.root), free)
        if room < SEGMENT <= free:
            room += remove_unused(self.store.root, SEGMENT - room)
        return room

    def complete(self) -> None:
        if self.segment is not None:
            self.segment.complete()
            self.segment = None

    def close(self) -> None:
        with self.lock, self.faults_end_it():
            self.complete()

    @contextmanager
    def faults_end_it(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            self.fault = fault
            if self.segment is not None:
                self.segment.discard()
                self.segment = None


class Segment:
    """A file of pixels that is being written; it is locked, by which others know that its writer lives."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{os.getpid()}-{os.urandom(6).hex()}.pixels"
        self.file: BinaryIO = self.path.open("xb")
        fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.size = 0
        self.entries: list[tuple[int, int, int, int]] = []

    def add(self, key: int, image: NDArray[np.uint8] | None) -> None:
        if image is None:
            self.entries.append((key, NOT_KEPT, 0, 0))
            return
        self.file.write(image.tobytes())
        self.entries.append((key, self.size, image.shape[0], image.shape[1]))
        self.size += image.nbytes

    def complete(self) -> None:
        """Pixels reach the disk before the index names them."""
        with self.file:
            self.file.flush()
            os.fsync(self.file.fileno())
            write_atomically(self.path.with_suffix(".npy"), index_bytes(self.entries))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self.file.close()


def index_bytes(entries: list[tuple[int, int, int, int]]) -> bytes:
    file = BytesIO()
    np.save(file, np.array(entries, ENTRY))
    return file.getvalue()


def read_index(path: Path) -> Entries:
    """The entries of a complete segment; none if it is damaged."""
    try:
        entries = np.load(path)
        size = path.with_suffix(".pixels").stat().st_size
    except (OSError, ValueError, EOFError):
        return np.empty(0, ENTRY)
    if entries.dtype != ENTRY:
        return np.empty(0, ENTRY)
    ends = entries["offset"] + entries["height"].astype(np.int64) * entries["width"] * 3
    whole: Entries = entries[ends <= size]
    return whole


def usable_bytes(folder: Path) -> int:
    """Free bytes of its disk but those that are left to others."""
    disk = shutil.disk_usage(folder)
    return disk.free - min(LEFT_FREE, disk.total // 10)


def stored_bytes(root: Path) -> int:
    return sum(size_of(path) for path in root.glob("*/*.pixels"))


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # removed by another process
        return 0


def last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def remove_unused(root: Path, wanted: int) -> int:
    """Remove the segments that were not used for longest, until `wanted` bytes are free; how many are."""
    freed, recent = 0, time.time() - RECENT
    for path in sorted(root.glob("*/*.pixels"), key=last_use):
        if freed >= wanted or last_use(path) > recent:
            break
        if path.with_suffix(".npy").exists():
            freed += size_of(path)
            path.with_suffix(".npy").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    return freed


def remove_abandoned(folder: Path) -> None:
    """Remove segments whose writer was killed: nobody holds their lock, and they have no index."""
    for path in folder.glob("*.pixels"):
        if path.with_suffix(".npy").exists():
            continue
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.with_suffix(".npy").exists():
                path.unlink()
