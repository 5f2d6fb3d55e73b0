"""Sets of Hugging Face `datasets`, by name or by folder: `hf:beans`, `hf:my_folder`, `hf:cifar100#fine_label`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.data.items import SPELLINGS
from vitrail.data.source import Part
from vitrail.data.split_rows import SplitRows
from vitrail.errors import DataError, first_line

try:
    import datasets
except ModuleNotFoundError as missing:
    if missing.name != "datasets":
        raise
    raise DataError("sets spelled hf:NAME need pip install 'vitrail[hf]'") from missing

ON_DISK = "dataset_dict.json"  # of `DatasetDict.save_to_disk`


class HuggingFaceSet(SplitRows):
    """One column of images and one of classes. `spelling` is NAME[@CONFIGURATION][#COLUMN], NAME also a folder's."""

    def __init__(self, spelling: str, seed: int = 0) -> None:
        name, configuration, column = parsed(spelling)
        splits = splits_of(name, loaded(name, configuration))
        image, label = columns_of(name, splits["train"].features, column)
        labels, classes = {}, splits["train"].features[label].names
        for part, split in list(splits.items()):
            labels[part] = split.select_columns(label).with_format("numpy")[:][label].astype(np.int64)
            if len(labels[part]) and (labels[part] < 0).all() and part != "train":
                del labels[part], splits[part]  # a test split whose classes are not published
        refuse_unlabelled(name, labels)
        self._image_column = image
        self._splits = {part: encoded(split, image) for part, split in splits.items()}
        super().__init__(Path(name).name, classes, labels, seed)

    def _image(self, split: Part, row: int) -> bytes:
        stored = self._splits[split][row][self._image_column]
        if stored is None:
            raise DataError(f"{self.name}: row {row} of its {split} split has no image")
        if stored["bytes"] is not None:
            return bytes(stored["bytes"])
        try:
            return Path(stored["path"]).read_bytes()
        except OSError as fault:
            raise DataError(f"{stored['path']} cannot be read: {fault.strerror}") from fault


def parsed(spelling: str) -> tuple[str, str | None, str | None]:
    """Name, configuration and column of labels. A folder may have @ and # in its name."""
    name, _, column = spelling.partition("#")
    if Path(spelling).exists():
        return spelling, None, None
    if Path(name).exists():
        return name, None, column or None
    name, _, configuration = name.partition("@")
    return name, configuration or None, column or None


def loaded(name: str, configuration: str | None) -> Any:
    """All splits of a set."""
    try:
        if (Path(name) / ON_DISK).is_file():
            return datasets.load_from_disk(name)
        return datasets.load_dataset(name, configuration)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as fault:
        offline = " (HF_HUB_OFFLINE is set, so only cached sets are found)" if datasets.config.HF_HUB_OFFLINE else ""
        raise DataError(f"Hugging Face datasets cannot load '{name}'{offline}: {first_line(fault)}") from fault


def splits_of(name: str, splits: Mapping[str, Any]) -> dict[Part, Any]:
    """The splits by their usual names; an only split is the training split."""
    found: dict[Part, Any] = {
        part: next(splits[spelling] for spelling in spellings if spelling in splits)
        for part, spellings in SPELLINGS.items()
        if not splits.keys().isdisjoint(spellings)
    }
    if not found and len(splits) == 1:
        found = {"train": next(iter(splits.values()))}
    if "train" not in found:
        raise DataError(f"{name} has no split called train; it has {', '.join(splits)}")
    return found


def columns_of(name: str, features: Mapping[str, Any], column: str | None) -> tuple[str, str]:
    """The columns of images and of labels."""
    images = [key for key, feature in features.items() if isinstance(feature, datasets.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if len(images) != 1:
        there = f"it has {', '.join(images) or 'none'} among {', '.join(features)}"
        raise DataError(f"{name} needs one column of images; {there}")
    if column is not None and column not in labels:
        raise DataError(f"{name} has no column of classes called {column}; it has {', '.join(labels) or 'none'}")
    if column is None and len(labels) != 1:
        spelled = f"choose one, as hf:{name}#{labels[0]}" if labels else "it needs a ClassLabel"
        raise DataError(f"{name} has {len(labels)} columns of classes ({', '.join(labels)}): {spelled}")
    return images[0], column or labels[0]


def encoded(split: Any, image: str) -> Any:
    """The images alone, as they are stored: vitrail.images decodes them."""
    return split.select_columns(image).cast_column(image, datasets.Image(decode=False))


def refuse_unlabelled(name: str, labels: Mapping[Part, NDArray[np.int64]]) -> None:
    for part, numbers in labels.items():
        if count := int((numbers < 0).sum()):
            raise DataError(f"{name}: {count:,} of {len(numbers):,} images of its {part} split have no class")
