"""Images as rows of given splits: what sets of torchvision, Hugging Face and WebDataset shards have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, Digests, digests_of, keys_of, text_keys
from vitrail.data.image_files import read_canvases
from vitrail.data.source import PARTS, Part, Samples
from vitrail.data.subsets import TEST_SHARE, VAL_SHARE, Indices, held_out, three_parts
from vitrail.errors import DataError, first_few
from vitrail.images.canvas import InputRule
from vitrail.images.decode import as_rgb, decode
from vitrail.tasks.task import TaskName

Labels = Mapping[Part, Indices]


class SplitRows(ABC):
    """One class an image. Parts without a split are cut from the training rows, by the seed."""

    task: TaskName = "classification"

    def __init__(self, name: str, classes: Sequence[str], labels: Labels, seed: int) -> None:
        self.name = name
        self.classes, self._labels = trained_classes(name, classes, labels)
        self._rows = parts_of(name, self.classes, self._labels, seed)

    @abstractmethod
    def _image(self, split: Part, row: int) -> bytes | Image.Image:
        """One image, encoded, or decoded where the set has only that."""

    def _names(self, split: Part, rows: Indices) -> tuple[str, ...]:
        return tuple(f"{split} {row}" for row in rows)

    def _digests(self, split: Part) -> Digests:
        """Of the images of a split, [N, 32]."""
        rows = range(len(self._labels[split]))
        with ThreadPoolExecutor() as pool:
            return digests_of(pool.map(lambda row: stored_bytes(self._image(split, row)), rows))

    @cached_property
    def _all_digests(self) -> dict[Part, Digests]:
        return {split: self._digests(split) for split in self._labels}

    @property
    def fingerprint(self) -> str:
        """Of every image and class, in order."""
        digest = sha256("\0".join(self.classes).encode("utf-8", "surrogateescape"))
        for split, digests in self._all_digests.items():
            digest.update(digests.tobytes() + self._labels[split].astype("<i8").tobytes())
        return digest.hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        split, rows = self._rows[part]
        return self._labels[split][rows]

    def weights(self, part: Part) -> NDArray[np.float64] | None:
        return None

    def contents(self, part: Part) -> Contents:
        split, rows = self._rows[part]
        images = keys_of(self._all_digests[split][rows])
        return Contents(self._names(split, rows), images, text_keys(self.classes)[self.labels(part)])

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        split, rows = self._rows[part]
        rows = rows if chosen is None else rows[chosen]
        names = self._names(split, rows)
        canvases = read_canvases(lambda index: self._image(split, int(rows[index])), names, rule)
        return Samples(canvases, self._labels[split][rows], names)

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        split, rows = self._rows[part]
        image = self._image(split, int(rows[index]))
        return np.array(decode(image, least) if isinstance(image, bytes) else as_rgb(image))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        return self.labels(part) if chosen is None else self.labels(part)[chosen]

    def file(self, part: Part, index: int) -> Path | None:
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        split, rows = self._rows[part]
        image = self._image(split, int(rows[index]))
        return image if isinstance(image, bytes) else None


def trained_classes(name: str, classes: Sequence[str], labels: Labels) -> tuple[tuple[str, ...], dict[Part, Indices]]:
    """The classes that have training images, and labels that number these."""
    present = np.unique(labels["train"])
    if len(present) < 2:
        raise DataError(f"{name} has {len(present)} class(es) with training images; it needs at least two")
    for split, numbers in labels.items():
        if len(unknown := np.setdiff1d(numbers, present)):
            shown = first_few([repr(classes[i]) for i in unknown])
            raise DataError(f"{name}: its {split} split has images of classes without training images: {shown}")
    numbered = {split: np.searchsorted(present, numbers) for split, numbers in labels.items()}
    return tuple(classes[i] for i in present), numbered


def parts_of(name: str, classes: Sequence[str], labels: Labels, seed: int) -> dict[Part, tuple[Part, Indices]]:
    """The split and the rows of each part."""
    train, wanted = labels["train"], [part for part in PARTS if part not in labels]
    counts = np.bincount(train)
    if counts.min() <= len(wanted):
        rare = classes[int(counts.argmin())]
        raise DataError(f"{name}: class '{rare}' has {counts.min()} image(s) to split; it needs {1 + len(wanted)}")
    parts: dict[Part, tuple[Part, Indices]] = {split: (split, np.arange(len(labels[split]))) for split in labels}
    if len(wanted) == 2:
        return {part: ("train", rows) for part, rows in three_parts(train, seed).items()}
    for part in wanted:
        rest, out = held_out(train, VAL_SHARE if part == "val" else TEST_SHARE, seed)
        parts |= {"train": ("train", rest), part: ("train", out)}
    return parts


def stored_bytes(image: bytes | Image.Image) -> bytes:
    """What identifies an image: its file, or its pixels and their shape."""
    return image if isinstance(image, bytes) else f"{image.mode} {image.size} ".encode() + image.tobytes()
