"""The images of one part in one form: each decoded once, checked, and kept in memory or in the store."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Contents, Keys, digests_of, keys_of
from vitrail.data.forms import Canvas, Form
from vitrail.data.image_store import MISSING, ImageStore, StoredImages, StoreWriter
from vitrail.data.memory import empty_canvases
from vitrail.data.source import DenseSource, Part, Source
from vitrail.errors import DamagedImages, DataError, ImageError
from vitrail.images.canvas import InputRule

Faults = dict[int, str]  # why images do not decode, by index
Progress = Callable[[int, int], None]  # of the number of decoded images, and of how many there are to decode
TOGETHER = 16  # images a task of the pool
SUBMITTED = 512 * TOGETHER  # images whose tasks are in the pool at once: a task takes some kilobytes


def silent(done: int, total: int) -> None:
    """Report no progress."""


class PartImages:
    """Images by their index in the part, uint8 [height, width, 3]."""

    def __init__(
        self,
        source: Source,
        part: Part,
        form: Form,
        chosen: NDArray[np.int64] | None = None,
        store: ImageStore | None = None,
    ) -> None:
        self.source, self.part, self.form = source, part, form
        self.chosen = np.arange(len(source.labels(part))) if chosen is None else chosen
        self.is_array = not is_encoded(source, part)
        self.store = None if self.is_array else store
        self.stored: StoredImages | None = None  # once they are checked, with their rows in it
        self.rows = np.full(len(self.chosen), MISSING)
        self.faults: Faults | None = None  # once they are checked

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def contents(self) -> Contents:
        return self.source.contents(self.part).take(self.chosen)

    @cached_property
    def keys(self) -> Keys:
        return self.contents.images

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if self.stored is not None and (row := int(self.rows[index])) != MISSING:
            kept = self.stored.image(row)
            if kept is not None:
                return kept
        return self.decoded(index)

    def map(self, index: int) -> NDArray[Any]:
        """The target of each pixel of the image as its source has it, which may be larger than the image is here."""
        assert isinstance(self.source, DenseSource)
        return self.source.whole_map(self.part, int(self.chosen[index]))

    def decoded(self, index: int) -> NDArray[np.uint8]:
        """From the source; a file that is no longer the one that was checked is refused."""
        place = int(self.chosen[index])
        data = self.source.encoded(self.part, place)
        if data is None:
            if isinstance(self.form, Canvas):
                canvas: NDArray[np.uint8] = self.source.read(self.part, self.form.rule, np.array([place])).images[0]
                return canvas
            return self.form.of_image(self.source.whole(self.part, place, self.form.least))
        if self.store is not None and keys_of(digests_of([data]))[0] != self.keys[index]:
            raise DataError(f"{self.name(index)} has changed since this command began: start it again")
        return self.form.of_file(data)

    @property
    def is_kept(self) -> bool:
        """Whether the store has the pixels of all, once they are checked."""
        return self.stored is not None and self.stored.have_pixels(self.rows)

    def check(self, on_progress: Progress = silent) -> Faults:
        """Decode each image that the store does not know, once."""
        if self.faults is None:
            if self.is_array:
                self.faults = {}
            elif self.store is None:
                self.faults = self.decode_all(np.arange(len(self)), lambda index, image: None, on_progress)
            else:
                self.faults = self.fill(self.store, on_progress)
        return self.faults

    def fill(self, store: ImageStore, on_progress: Progress) -> Faults:
        """Have every image in the store, or known to it."""
        faults: Faults = {}
        if (store.stored.rows(self.keys) == MISSING).any():
            with store.filling() as writer:
                faults = self.decode_missing(store, writer, on_progress)
        self.stored, self.rows = store.stored, store.stored.rows(self.keys)
        return faults

    def decode_missing(self, store: ImageStore, writer: StoreWriter, on_progress: Progress) -> Faults:
        """Decode and keep each image that no other process has kept meanwhile, one of several with the same content."""
        rows = store.stored.rows(self.keys)
        _, first = np.unique(self.keys, return_index=True)
        missing = np.sort(first[rows[first] == MISSING])
        faults = self.decode_all(missing, lambda index, image: writer.put(int(self.keys[index]), image), on_progress)
        reasons = {int(self.keys[index]): reason for index, reason in faults.items()}
        copies = np.flatnonzero(np.isin(self.keys, [*reasons]))
        return {index: reasons[int(self.keys[index])] for index in copies.tolist()}

    def together(self, rule: InputRule) -> NDArray[np.uint8]:
        """All canvases in memory, uint8 [N, size, size, 3]."""
        canvases = empty_canvases(len(self), rule)
        if faults := self.check():
            raise DamagedImages(self.described(faults))

        def copy(begin: int) -> None:
            for index in range(begin, min(begin + TOGETHER, len(self))):
                canvases[index] = self[index]

        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(copy, range(0, len(self), TOGETHER)))
        return canvases

    def decode_all(
        self, indices: NDArray[np.int64], keep: Callable[[int, NDArray[np.uint8]], None], on_progress: Progress
    ) -> Faults:
        """Decode these images in threads, and hand each to `keep`; the faults of the others."""
        faults: Faults = {}

        def decode(begin: int) -> int:
            for index in indices[begin : begin + TOGETHER].tolist():
                try:
                    keep(index, self.decoded(index))
                except ImageError as fault:
                    faults[index] = str(fault)
            return len(indices[begin : begin + TOGETHER])

        done = 0
        with ThreadPoolExecutor(cores()) as pool:
            for begin in range(0, len(indices), SUBMITTED):
                for count in pool.map(decode, range(begin, min(begin + SUBMITTED, len(indices)), TOGETHER)):
                    done += count
                    on_progress(done, len(indices))
        return faults

    def described(self, faults: Faults) -> list[str]:
        """Each fault with the name of its image."""
        return [f"{self.name(index)}: {faults[index]}" for index in sorted(faults)]

    def name(self, index: int) -> str:
        """By which a person finds the image."""
        return str(self.source.file(self.part, int(self.chosen[index])) or self.contents.names[index])


def is_encoded(source: Source, part: Part) -> bool:
    """Whether the images of a part are stored as JPEG, PNG or the like."""
    try:
        return len(source.labels(part)) > 0 and source.encoded(part, 0) is not None
    except ImageError:  # of a file that cannot be read
        return True


def cores() -> int:
    return len(os.sched_getaffinity(0))
