"""torchvision's classification sets by name, `torchvision:CIFAR10@FOLDER`; downloaded only on request."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

from vitrail.data.source import Part
from vitrail.data.split_rows import SplitRows
from vitrail.errors import DataError, first_line

FOLDER = "data"  # where none is named

# The splits of sets that have others than train and test.
THREE: dict[Part, str] = {"train": "train", "val": "val", "test": "test"}
SPLITS: dict[str, dict[Part, str]] = {
    **dict.fromkeys(("DTD", "FGVCAircraft", "Flowers102", "PCAM", "RenderedSST2"), THREE),
    "Country211": {"train": "train", "val": "valid", "test": "test"},
    "ImageNet": {"train": "train", "test": "val"},
    "Imagenette": {"train": "train", "test": "val"},
    "OxfordIIITPet": {"train": "trainval", "test": "test"},
    "Places365": {"train": "train-standard", "test": "val"},
}
ONE_AT_A_TIME = Lock()  # sets need not be safe in threads: some read one open file, FakeData seeds torch
LABELS = ("targets", "labels", "_labels", "y")  # what torchvision's classes call them


class TorchvisionSet(SplitRows):
    """`name` is that of a class of torchvision.datasets; EMNIST's has the name of its subset, as EMNIST-letters."""

    def __init__(self, name: str, folder: str = FOLDER, download: bool = False, seed: int = 0) -> None:
        kind = class_called(name)
        options = options_of(name, kind)
        self._splits = {part: opened(kind, name, Path(folder), download, options[part]) for part in options}
        labels = {part: labels_of(name, split) for part, split in self._splits.items()}
        classes = getattr(self._splits["train"], "classes", None) or range(max(map(max, labels.values())) + 1)
        super().__init__(name, tuple(map(str, classes)), labels, seed)

    def _image(self, split: Part, row: int) -> bytes | Image.Image:
        with ONE_AT_A_TIME:
            image = self._splits[split][row][0]
        if isinstance(image, Image.Image):
            return image
        try:
            return Path(image).read_bytes()
        except OSError as fault:
            raise DataError(f"{image} cannot be read: {fault.strerror}") from fault


def class_called(name: str) -> Callable[..., Any]:
    kind = getattr(datasets, name.partition("-")[0], None) if name[:1].isupper() else None
    if kind is None:
        raise DataError(f"torchvision has no set called {name}: names are those of torchvision.datasets, as CIFAR10")
    found: Callable[..., Any] = kind
    return found


def options_of(name: str, kind: Callable[..., Any]) -> dict[Part, dict[str, Any]]:
    """The options that open each split."""
    base, _, subset = name.partition("-")
    if base == "EMNIST":
        return {part: {"train": part == "train", "split": subset or "balanced"} for part in ("train", "test")}
    if subset:
        raise DataError(f"torchvision's {base} has no subset {subset}")
    options = signature(kind).parameters
    if "train" in options:
        return {part: {"train": part == "train"} for part in ("train", "test")}
    if "split" in options:
        splits = SPLITS.get(name, {"train": "train", "test": "test"})
        return {part: {"split": split} for part, split in splits.items()}
    return {"train": {}}


def opened(kind: Callable[..., Any], name: str, folder: Path, download: bool, options: dict[str, Any]) -> Any:
    """A split, whose images are paths where torchvision lets us load them."""
    known = signature(kind).parameters
    own = {"root": str(folder), "download": download, "loader": str}
    takes = {option: value for option, value in own.items() if option in known or name.startswith("EMNIST")}
    if name.startswith("EMNIST"):
        del takes["loader"]
    try:
        return kind(**takes, **options)
    except (RuntimeError, OSError, ValueError, TypeError) as fault:  # TypeError: a set of another kind asks for more
        wanted = "" if download else f"; --data.path torchvision-download:{name}@{folder} downloads it"
        reason, _, _ = first_line(fault).partition(" You can use download")
        raise DataError(f"torchvision cannot open {name} in {folder}: {reason}{wanted}") from fault


def labels_of(name: str, split: Any) -> NDArray[np.int64]:
    """The class of each image; those of few sets are only found image by image."""
    stored = next((getattr(split, attribute) for attribute in LABELS if hasattr(split, attribute)), None)
    if stored is None:
        stored = [split[row][1] for row in range(len(split))]
    labels = np.asarray(stored)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"torchvision's {name} does not give every image one class")
    return labels.astype(np.int64)
