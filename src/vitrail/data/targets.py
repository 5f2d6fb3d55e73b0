"""The targets of listed images, one class a task: a class, labels, a sequence, boxes, values, or maps of either."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Keys, keys_of, row_keys, text_keys
from vitrail.data.faults import Faults
from vitrail.data.file_digests import FileDigests
from vitrail.data.file_tree import readable
from vitrail.data.maps import map_canvases, read_map, read_numbers
from vitrail.data.names import Names
from vitrail.errors import NAMED, DataError, ImageError
from vitrail.images.canvas import InputRule
from vitrail.tasks.detection.predictions import NO_BOX
from vitrail.tasks.sequence.predictions import ENDED
from vitrail.tasks.task import TaskName

Indices = NDArray[np.int64]


class ListedTargets(ABC):
    """Of all images of a set, whatever their part; `rows` are indices of images."""

    task: ClassVar[TaskName]
    classes: tuple[str, ...]  # or the names of the values

    @abstractmethod
    def of(self, rows: Indices, rule: InputRule) -> NDArray[Any]:
        """As in `Samples.labels`."""

    @abstractmethod
    def keys(self, rows: Indices) -> Keys:
        """By content, as in `Contents.targets`."""

    def strata(self) -> Indices:
        """A number for each image; splits and subsets are stratified by it."""
        return np.zeros(len(self), np.int64)

    @abstractmethod
    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Labels(ListedTargets):
    """One class an image."""

    task = "classification"
    classes: tuple[str, ...]
    codes: Indices  # [N]

    def of(self, rows: Indices, rule: InputRule) -> NDArray[Any]:
        return self.codes[rows]

    def keys(self, rows: Indices) -> Keys:
        return text_keys(self.classes)[self.codes[rows]]

    def strata(self) -> Indices:
        return self.codes

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class LabelSets(ListedTargets):
    """Any number of labels an image; those of image i are codes[ends[i] : ends[i + 1]]."""

    task = "multilabel"
    classes: tuple[str, ...]
    codes: Indices
    ends: Indices  # [N + 1]

    def of(self, rows: Indices, rule: InputRule) -> NDArray[Any]:
        has = np.zeros((len(rows), len(self.classes)), np.uint8)
        for index, row in enumerate(rows):
            has[index, self._codes(row)] = 1
        return has

    def keys(self, rows: Indices) -> Keys:
        return text_keys("\0".join(self.classes[code] for code in np.unique(self._codes(row))) for row in rows)

    def strata(self) -> Indices:
        """The rarest label of each image; one number more where it has none."""
        rarity = np.empty(len(self.classes), np.int64)
        order = np.argsort(np.bincount(self.codes, minlength=len(self.classes)), kind="stable")
        rarity[order] = np.arange(len(order))
        strata = np.full(len(self), len(order))
        some = np.flatnonzero(np.diff(self.ends))
        if len(some):
            strata[some] = order[np.minimum.reduceat(rarity[self.codes], self.ends[some])]
        return strata

    def _codes(self, row: int) -> Indices:
        return self.codes[self.ends[row] : self.ends[row + 1]]

    def __len__(self) -> int:
        return len(self.ends) - 1


@dataclass(frozen=True, eq=False)
class Sequences(ListedTargets):
    """Labels in their order, at least one an image; those of image i are codes[ends[i] : ends[i + 1]]."""

    task = "sequence"
    classes: tuple[str, ...]
    codes: Indices
    ends: Indices  # [N + 1]

    def of(self, rows: Indices, rule: InputRule) -> NDArray[Any]:
        """[n, longest], with ENDED after the last label; as wide for any rows."""
        sequences = np.full((len(rows), int(self.strata().max())), ENDED, np.int64)
        for index, row in enumerate(rows):
            codes = self._codes(row)
            sequences[index, : len(codes)] = codes
        return sequences

    def keys(self, rows: Indices) -> Keys:
        return text_keys("\0".join(self.classes[code] for code in self._codes(row)) for row in rows)

    def strata(self) -> Indices:
        """The length of each sequence."""
        return np.diff(self.ends)

    def _codes(self, row: int) -> Indices:
        return self.codes[self.ends[row] : self.ends[row + 1]]

    def __len__(self) -> int:
        return len(self.ends) - 1


@dataclass(frozen=True, eq=False)
class Boxes(ListedTargets):
    """Any number of boxes an image; those of image i are boxes[ends[i] : ends[i + 1]]."""

    task = "detection"
    classes: tuple[str, ...]
    boxes: NDArray[np.float32]  # [boxes, 5], class, left, top, right and bottom
    ends: Indices  # [N + 1]

    def of(self, rows: Indices, rule: InputRule) -> NDArray[Any]:
        """[n, most, 5], with NO_BOX after the last; as wide for any rows."""
        targets = np.full((len(rows), max(1, int(self.strata().max())), 5), NO_BOX, np.float32)
        for index, row in enumerate(rows):
            boxes = self._boxes(row)
            targets[index, : len(boxes)] = boxes
        return targets

    def keys(self, rows: Indices) -> Keys:
        """In any order of an image's boxes."""
        return text_keys("\0".join(sorted(map(self._text, self._boxes(row)))) for row in rows)

    def strata(self) -> Indices:
        """The number of boxes of each image."""
        return np.diff(self.ends)

    def _boxes(self, row: int) -> NDArray[np.float32]:
        return self.boxes[self.ends[row] : self.ends[row + 1]]

    def _text(self, box: NDArray[np.float32]) -> str:
        return f"{self.classes[int(box[0])]} {box[1:].tolist()}"

    def __len__(self) -> int:
        return len(self.ends) - 1


@dataclass(frozen=True, eq=False)
class Values(ListedTargets):
    """Numbers, by the names of their columns."""

    task = "regression"
    classes: tuple[str, ...]
    values: NDArray[np.float32]  # [N, K]

    def of(self, rows: Indices, rule: InputRule) -> NDArray[Any]:
        return self.values[rows]

    def keys(self, rows: Indices) -> Keys:
        return row_keys(self.values[rows])

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class MapFiles(ListedTargets):
    """Images of the same size for each image."""

    classes: tuple[str, ...]
    root: Path
    images: Names
    maps: tuple[Names, ...]  # files below `root`, as the images are
    digests: FileDigests
    numbers: Indices  # [N], of the lines or rows, to name them
    faults: Faults  # where these errors are collected

    @abstractmethod
    def whole(self, row: int) -> NDArray[Any]:
        """The map, or maps, of one image at its own shape."""

    @abstractmethod
    def empty(self, count: int, size: int) -> NDArray[Any]:
        """Room for the targets of so many images."""

    def of(self, rows: Indices, rule: InputRule) -> NDArray[Any]:
        canvases, faults = self.empty(len(rows), rule.size), self.faults.anew()
        for index, row in enumerate(rows):
            try:
                canvases[index] = map_canvases(self.whole(row), rule)
            except (DataError, ImageError) as fault:
                faults.add(int(self.numbers[row]), str(fault))
                if len(faults.found) == NAMED:
                    break
        faults.refuse()
        return canvases

    def image(self, row: int) -> bytes:
        image = self.root / self.images[row]
        with readable(image):
            return image.read_bytes()

    def keys(self, rows: Indices) -> Keys:
        keys = [keys_of(self.digests.of(maps.take(rows))) for maps in self.maps]
        return keys[0] if len(keys) == 1 else row_keys(np.stack(keys, axis=1))

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Maps(MapFiles):
    """Grey values number the classes, uint8 [height, width]."""

    task = "dense"

    def whole(self, row: int) -> NDArray[Any]:
        return np.array(read_map(self.root / self.maps[0][row], self.image(row), len(self.classes)))

    def empty(self, count: int, size: int) -> NDArray[Any]:
        return np.empty((count, size, size), np.uint8)


@dataclass(frozen=True, eq=False)
class ValueMaps(MapFiles):
    """Grey values are numbers, float32 [K, height, width]; `classes` are their names."""

    task = "dense-regression"

    def whole(self, row: int) -> NDArray[Any]:
        image = self.image(row)
        return np.stack([np.array(read_numbers(self.root / maps[row], image)) for maps in self.maps])

    def empty(self, count: int, size: int) -> NDArray[Any]:
        return np.empty((count, len(self.maps), size, size), np.float32)
