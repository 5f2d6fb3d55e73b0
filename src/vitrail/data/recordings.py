"""Recordings as sets of vectors: wav files in class folders, or in a manifest."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.data.file_tree import Kind
from vitrail.data.folders import list_folders
from vitrail.data.image_files import FileSource, content
from vitrail.data.items import Items
from vitrail.data.listed import Indices
from vitrail.data.manifest import find_manifest
from vitrail.data.manifest_file import open_table
from vitrail.data.manifest_items import items_of
from vitrail.data.memory import empty_canvases
from vitrail.data.source import Part
from vitrail.errors import DataError, ImageError, SoundError, first_few
from vitrail.images.canvas import InputRule
from vitrail.sounds import BANDS, Wave, frames_of, read_header, read_samples

WAV = Kind("recording", "a wav file", (".wav",))


class Recordings(FileSource):
    """Each recording is the set of its frames; all have one sample rate, so that a band is the same in each."""

    width = BANDS

    def __init__(self, path: str | Path, seed: int = 0) -> None:
        root, items = list_recordings(Path(path))
        super().__init__(root, items, seed, str(path))
        self.rate = one_rate([root / name for name in items.names])

    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.float32]:  # type: ignore[override]
        sets = empty_canvases(len(rows), rule)
        for index, row in enumerate(rows.tolist()):
            sets[index] = self.frames(row)
            refuse_longer(self.items.names[row], len(sets[index]), rule)
        return sets  # type: ignore[return-value]

    def frames(self, row: int) -> NDArray[np.float32]:
        return frames_of(read_samples(content(self.path / self.items.names[row])), self.rate)

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None


def list_recordings(path: Path) -> tuple[Path, Items]:
    """The folder that the names of the files are in, and the files."""
    manifest = find_manifest(path)
    if manifest is not None:
        if not manifest.is_file():
            raise DataError(f"there is no manifest at {manifest}")
        return manifest.parent, items_of(open_table(manifest), manifest.parent, WAV)
    if not path.is_dir():
        raise DataError(f"there is no folder of recordings at {path}")
    return path, list_folders(path, WAV)


def one_rate(files: list[Path]) -> int:
    """The sample rate of all; one error names all files that cannot be used."""
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(header_or_fault, files))
    if faults := [f"{file}: {one}" for file, one in zip(files, headers, strict=True) if isinstance(one, str)]:
        raise DataError(f"{len(faults)} recording(s) cannot be used, mend or remove them: {first_few(faults)}")
    rates = [one.rate for one in headers if isinstance(one, Wave)]
    (usual, _), *others = Counter(rates).most_common()
    if others:
        odd = [f"{file} ({rate} Hz)" for file, rate in zip(files, rates, strict=True) if rate != usual]
        raise DataError(f"most recordings have {usual} samples a second, resample the others: {first_few(odd)}")
    return usual


def header_or_fault(file: Path) -> Wave | str:
    try:
        return read_header(content(file))
    except (SoundError, ImageError) as fault:
        return str(fault)


def refuse_longer(name: str, count: int, rule: InputRule) -> None:
    if count > rule.size:
        raise DataError(
            f"{name} has {count:,} frames, and --data.size is {rule.size:,}: raise it, or cut the recording"
        )
