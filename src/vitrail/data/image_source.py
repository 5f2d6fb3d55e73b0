"""A source of the user's own: a small class that lists images and makes or reads each of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.data.columns import Cells
from vitrail.data.contents import Keys, digests_of, keys_of
from vitrail.data.faults import Faults
from vitrail.data.listed import Indices, ListedSource
from vitrail.data.manifest_file import Chunk, Table
from vitrail.data.manifest_items import items_of
from vitrail.data.memory import empty_canvases
from vitrail.data.source import Part
from vitrail.errors import DamagedImages, DataError, ImageError
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.images.decode import decode, decode_upright, fit
from vitrail.own_class import Plain, class_at, path_of, refuse_unplain

NAME = "vitrail.data.ImageSource"
AnyImage = Image.Image | NDArray[np.uint8] | bytes


@dataclass(frozen=True)
class ImageSource(ABC):
    """What every source of one's own extends, as a frozen dataclass: its fields are the options in YAML.

    Checkpoints store class and options, from which `vitrail test` and `export` list the same images again.
    """

    @abstractmethod
    def columns(self) -> Mapping[str, Cells]:
        """The columns of a manifest (docs/sources.md), equally long; `path` is a name, different for each image."""

    @abstractmethod
    def image(self, index: int) -> AnyImage:
        """The image at this place of the columns.

        A Pillow image; uint8 [height, width], or [height, width, 3] for RGB; or the bytes of an image file.
        """

    def to_plain(self) -> Plain:
        """The two keys that choose a source in YAML."""
        return {"class_path": path_of(type(self)), "init_args": asdict(self)}

    @staticmethod
    def from_plain(plain: Plain) -> "ImageSource":
        if not isinstance(plain.get("class_path"), str) or plain.keys() - {"class_path", "init_args"}:
            raise DataError(f"a source of one's own has the keys class_path and init_args, not {', '.join(plain)}")
        source = class_at(plain["class_path"], ImageSource, NAME, DataError)  # type: ignore[type-abstract]
        try:
            return source(**plain.get("init_args") or {})
        except TypeError as fault:
            raise DataError(f"{plain['class_path']} cannot be made from its arguments: {fault}") from fault

    def check_plain(self) -> None:
        """Refuse, before training, a source that could not be made again from a checkpoint."""
        refuse_unplain(self, DataError)


class OwnSource(ListedSource):
    """The `Source` of an ImageSource."""

    def __init__(self, own: ImageSource, seed: int = 0) -> None:
        own.check_plain()
        self.own, self.path = own, path_of(type(own))
        super().__init__(type(own).__name__, items_of(table_of(own, self.path)), seed, self.path)

    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.uint8]:
        canvases, faults = empty_canvases(len(rows), rule), []
        for index, row in enumerate(rows.tolist()):
            try:
                image = self.own.image(row)
                canvases[index] = fit(image, rule) if isinstance(image, bytes) else to_canvas(self.rgb(image), rule)
            except ImageError as fault:
                faults.append(f"{self.items.names[row]}: {fault}")
        if faults:
            raise DamagedImages(faults)
        return canvases

    def pixels(self, row: int, least: int | None) -> NDArray[np.uint8]:
        image = self.own.image(row)
        return np.array(decode(image, least) if isinstance(image, bytes) else self.rgb(image))

    def image_keys(self, rows: Indices) -> Keys:
        return self._keys[rows]

    @cached_property
    def _keys(self) -> Keys:
        return keys_of(digests_of(self.content(self.own.image(row)) for row in range(len(self.items.names))))

    def encoded(self, part: Part, index: int) -> bytes | None:
        if not self._are_encoded:
            return None
        image = self.own.image(int(self.rows[part][index]))
        return image if isinstance(image, bytes) else None

    @cached_property
    def _are_encoded(self) -> bool:
        return isinstance(self.own.image(0), bytes)

    def content(self, image: AnyImage) -> bytes:
        """What makes an image: the bytes of its file, or its sides and pixels."""
        if isinstance(image, bytes):
            return image
        rgb = self.rgb(image)
        return b"%d %d " % rgb.size + rgb.tobytes()

    def rgb(self, image: Image.Image | NDArray[np.uint8]) -> Image.Image:
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2:] == (3,)):
            image = Image.fromarray(image)
        if isinstance(image, Image.Image):
            return decode_upright(image).pixels
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(
            f"{self.path}.image returned {what}: return a Pillow image, uint8 [height, width] or [height, width, 3], "
            "or the bytes of an image file"
        )


def table_of(own: ImageSource, path: str) -> Table:
    """The columns as the only chunk of a manifest, whose rows count from 0, as `image` is called."""
    columns = own.columns()
    if len(lengths := {len(cells) for cells in columns.values()}) > 1:
        raise DataError(f"{path}.columns returned columns of different lengths: {', '.join(map(str, sorted(lengths)))}")
    chunks = [Chunk(np.arange(*lengths), columns)] if any(lengths) else []
    return Table(tuple(columns), iter(chunks), Faults(path, "item"))
