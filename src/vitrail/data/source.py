"""What every source of pictures gives: class names, three parts, canvases."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vitrail.card import InputRule, TaskName

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Pictures:
    """Canvases of one part and what they show, in a fixed order."""

    images: NDArray[np.uint8]  # [N, size, size, 3]
    # One class each, int64 [N]; 1 for each label that a picture has, uint8 [N, K]; values, float32 [N, K]; or for each
    # pixel its class, uint8 [N, size, size], 255 where that is not told.
    labels: NDArray[Any]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


class Source(Protocol):
    """Somewhere that known pictures come from; listing is cheap, reading a part decodes it."""

    name: str
    classes: tuple[str, ...]  # or the names of the values

    @property
    def task(self) -> TaskName: ...

    @property
    def fingerprint(self) -> str: ...

    def labels(self, part: Part) -> NDArray[np.int64]:
        """What parts and subsets keep in proportion, [N]: the class, where each picture has one."""
        ...

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Pictures:
        """The pictures of a part, or those of them that are chosen."""
        ...

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        """One picture as it is, uint8 [height, width, 3], upright and RGB, of its own size."""
        ...
