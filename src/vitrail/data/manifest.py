"""A set of images listed in a manifest: a CSV or Parquet file beside them."""

from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from vitrail.data.image_files import FileSource
from vitrail.data.manifest_file import PARQUET, open_table
from vitrail.data.manifest_items import items_of
from vitrail.data.targets import MapFiles
from vitrail.errors import DataError

# What the manifest in a folder may be called.
FOUND = ("manifest.csv", "manifest.parquet", "labels.csv", "values.csv", "maps.csv")


class Manifest(FileSource):
    """`path` names each image, beside it are the targets; see docs/sources.md."""

    def __init__(self, file: str | Path, seed: int = 0) -> None:
        self.manifest = Path(file)
        if not self.manifest.is_file():
            raise DataError(f"there is no manifest at {file}")
        root = self.manifest.parent
        super().__init__(root, items_of(open_table(self.manifest), root), seed, str(file))

    @cached_property
    def fingerprint(self) -> str:
        """Of the manifest and the contents of all files that it names."""
        rows = np.arange(len(self.items.names))
        digest = sha256(self.manifest.read_bytes() + "\0".join(self.classes).encode())
        digest.update(self.digests.of(self.items.names).tobytes())
        if isinstance(self.items.targets, MapFiles):
            digest.update(self.items.targets.keys(rows).tobytes())
        return digest.hexdigest()


def find_manifest(path: str | Path) -> Path | None:
    """The manifest at this path, or in this folder; two would be two sets."""
    path = Path(path)
    if path.suffix.lower() in (".csv", *PARQUET) and not path.is_dir():
        return path
    there = [path / name for name in FOUND if (path / name).is_file()]
    if len(there) > 1:
        raise DataError(f"{path} has {' and '.join(file.name for file in there)}: keep the one to train on")
    return there[0] if there else None
