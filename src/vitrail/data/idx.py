"""IDX files, the format of MNIST and its relatives: four files in a folder, gzipped or not."""

import gzip
import hashlib
import struct
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Contents, row_keys
from vitrail.data.source import Part, Samples, canvases_of
from vitrail.data.subsets import VAL_SHARE, held_out
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule
from vitrail.tasks.task import TaskName

Half = Literal["train", "t10k"]
HALVES: tuple[Half, ...] = ("train", "t10k")
IMAGES = "-images-idx3-ubyte"
LABELS = "-labels-idx1-ubyte"
UNSIGNED_BYTES = 8  # the type of the numbers, third byte of a file


class Idx:
    """Grey images with numbered classes; `seed` decides which fifth of the training images is for validation."""

    task: TaskName = "classification"

    def __init__(self, path: str | Path, seed: int = 0) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name
        self._grey = {half: read_idx(self.path, half + IMAGES, 3) for half in HALVES}
        self._numbers = {half: read_idx(self.path, half + LABELS, 1).astype(np.int64) for half in HALVES}
        for half in HALVES:
            if len(self._grey[half]) != len(self._numbers[half]):
                raise DataError(
                    f"{self.path}: {half} has {len(self._grey[half])} images and {len(self._numbers[half])} labels"
                )
        self.classes = tuple(str(label) for label in range(int(self._numbers["train"].max()) + 1))
        rest, out = held_out(self._numbers["train"], VAL_SHARE, seed)
        self._parts: dict[Part, NDArray[np.int64]] = {
            "train": rest,
            "val": out,
            "test": np.arange(len(self._numbers["t10k"])),
        }

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for half in HALVES:
            digest.update(self._grey[half].tobytes() + self._numbers[half].astype("<i8").tobytes())
        return digest.hexdigest()

    def labels(self, part: Part) -> NDArray[np.int64]:
        return self._numbers[half_of(part)][self._parts[part]]

    def contents(self, part: Part) -> Contents:
        half, indices = half_of(part), self._parts[part]
        return Contents(
            names_of(half, indices), row_keys(self._grey[half][indices]), row_keys(self._numbers[half][indices])
        )

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Samples:
        indices = self._parts[part] if chosen is None else self._parts[part][chosen]
        grey, half = self._grey[half_of(part)], half_of(part)
        images = (Image.fromarray(grey[i]).convert("RGB") for i in indices)
        return Samples(canvases_of(images, len(indices), rule), self._numbers[half][indices], names_of(half, indices))

    def targets(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> NDArray[Any]:
        indices = self._parts[part] if chosen is None else self._parts[part][chosen]
        return self._numbers[half_of(part)][indices]

    def whole(self, part: Part, index: int, least: int | None = None) -> NDArray[np.uint8]:
        return np.repeat(self._grey[half_of(part)][self._parts[part][index]][..., None], 3, axis=2)

    def file(self, part: Part, index: int) -> Path | None:
        return None

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None


def half_of(part: Part) -> Half:
    return "t10k" if part == "test" else "train"


def names_of(half: Half, indices: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"{half} {i}" for i in indices)


def is_idx(path: str | Path) -> bool:
    """Whether a folder holds IDX files."""
    return any(Path(path).glob(f"train{IMAGES}*"))


def read_idx(folder: Path, name: str, axes: int) -> NDArray[np.uint8]:
    """The numbers of one file, gzipped or not."""
    file = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
    if file is None:
        raise DataError(f"{folder} has train{IMAGES}, but neither {name} nor {name}.gz")
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        zeros, kind, dimensions, *shape = struct.unpack_from(f">HBB{axes}I", data)
        numbers = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
        if (zeros, kind, dimensions) != (0, UNSIGNED_BYTES, axes):
            raise ValueError("its first bytes are those of another kind of file")
        return numbers.reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as fault:
        raise DataError(f"{file} is no IDX file of {axes} dimension(s), or is damaged: {fault}") from fault
