"""What every source of pictures gives: class names, three parts, canvases."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vitrail.card import InputRule

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Pictures:
    """Labelled canvases of one part, in a fixed order."""

    images: NDArray[np.uint8]  # [N, size, size, 3]
    labels: NDArray[np.int64]  # [N]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


class Source(Protocol):
    """Somewhere that labelled pictures come from; listing is cheap, reading a part decodes it."""

    name: str
    classes: tuple[str, ...]

    @property
    def fingerprint(self) -> str: ...

    def labels(self, part: Part) -> NDArray[np.int64]: ...

    def read(self, part: Part, rule: InputRule, chosen: NDArray[np.int64] | None = None) -> Pictures:
        """The pictures of a part, or those of them that are chosen."""
        ...

    def whole(self, part: Part, index: int) -> NDArray[np.uint8]:
        """One picture as it is, uint8 [height, width, 3], upright and RGB, of its own size."""
        ...
