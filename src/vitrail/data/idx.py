"""IDX files, the format of MNIST and its relatives: four files in a folder, gzipped or not."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.data.items import Items
from vitrail.data.listed import GreySource
from vitrail.data.names import Names
from vitrail.data.source import PARTS
from vitrail.data.targets import Labels
from vitrail.errors import DataError

HALVES = {"train": PARTS.index("train"), "t10k": PARTS.index("test")}
IMAGES = "-images-idx3-ubyte"
LABELS = "-labels-idx1-ubyte"
UNSIGNED_BYTES = 8  # the type of the numbers, third byte of a file


class Idx(GreySource):
    """Grey images with numbered classes; `seed` decides which fifth of the training images is for validation."""

    def __init__(self, path: str | Path, seed: int = 0) -> None:
        self.path = Path(path)
        grey = [read_idx(self.path, half + IMAGES, 3) for half in HALVES]
        numbers = [read_idx(self.path, half + LABELS, 1).astype(np.int64) for half in HALVES]
        for half, images, labels in zip(HALVES, grey, numbers, strict=True):
            if len(images) != len(labels):
                raise DataError(f"{self.path}: {half} has {len(images)} images and {len(labels)} labels")
        if len({images.shape[1:] for images in grey}) > 1:
            raise DataError(f"{self.path}: the images of train and t10k differ in size")
        names = Names.of(
            f"{half} {i}" for half, labels in zip(HALVES, numbers, strict=True) for i in range(len(labels))
        )
        classes = tuple(str(label) for label in range(int(numbers[0].max()) + 1))
        parts = np.repeat(np.array([*HALVES.values()], np.int8), [len(labels) for labels in numbers])
        items = Items(names, Labels(classes, np.concatenate(numbers)), parts)
        super().__init__(self.path.resolve().name, np.concatenate(grey), items, seed, str(self.path))

    @property
    def fingerprint(self) -> str:
        """Of the halves, one after the other."""
        digest, numbers = hashlib.sha256(), self.items.targets.strata().astype("<i8")
        for half in HALVES.values():
            rows = self.items.parts == half
            digest.update(self.grey[rows].tobytes() + numbers[rows].tobytes())
        return digest.hexdigest()


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
