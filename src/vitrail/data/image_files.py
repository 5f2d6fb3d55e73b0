"""Sets whose images are files below one folder."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.contents import Keys, keys_of
from vitrail.data.file_digests import FileDigests
from vitrail.data.items import Items
from vitrail.data.listed import Indices, ListedSource
from vitrail.data.memory import empty_canvases
from vitrail.data.source import Part
from vitrail.errors import DamagedImages, ImageError
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.images.decode import as_rgb, decode, fit


class FileSource(ListedSource):
    """The items' names are those of the files from `path`."""

    def __init__(self, path: Path, items: Items, seed: int, place: str) -> None:
        super().__init__(path.resolve().name, items, seed, place)
        self.path, self.digests = path, FileDigests(path)

    @cached_property
    def fingerprint(self) -> str:
        """Of name and content of every file; changes if an image is added, removed, moved, renamed or edited."""
        names = sorted(self.items.names)
        return sha256(
            "\0".join(names).encode("utf-8", "surrogateescape") + self.digests.of(names).tobytes()
        ).hexdigest()

    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.uint8]:
        files = [self.path / name for name in self.items.names.take(rows)]
        return read_canvases(lambda index: content(files[index]), [str(file) for file in files], rule)

    def pixels(self, row: int, least: int | None) -> NDArray[np.uint8]:
        return np.array(decode(content(self.path / self.items.names[row]), least))

    def image_keys(self, rows: Indices) -> Keys:
        return keys_of(self.digests.of(self.items.names.take(rows)))

    def file(self, part: Part, index: int) -> Path | None:
        return self.path / self.items.names[int(self.rows[part][index])]

    def encoded(self, part: Part, index: int) -> bytes | None:
        return content(self.path / self.items.names[int(self.rows[part][index])])


def content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as fault:
        raise ImageError(f"the file cannot be read: {fault.strerror}") from fault


def read_canvases(
    image: Callable[[int], bytes | Image.Image], names: Sequence[str], rule: InputRule
) -> NDArray[np.uint8]:
    """Decode every image once, in parallel; one error names all damaged images."""
    canvases = empty_canvases(len(names), rule)
    faults: list[str] = []

    def read(index: int) -> None:
        try:
            stored = image(index)
            canvases[index] = fit(stored, rule) if isinstance(stored, bytes) else to_canvas(as_rgb(stored), rule)
        except ImageError as fault:
            faults.append(f"{names[index]}: {fault}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(names))))
    if faults:
        raise DamagedImages(faults)
    return canvases
