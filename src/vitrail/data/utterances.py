"""Utterances whose frames are computed already: tensors in files that metadata.json lists by speaker."""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.data.image_files import FileSource
from vitrail.data.items import Items
from vitrail.data.listed import Indices
from vitrail.data.memory import empty_canvases
from vitrail.data.names import Names
from vitrail.data.recordings import refuse_longer
from vitrail.data.source import Part
from vitrail.data.targets import Labels
from vitrail.errors import DamagedImages, DataError, SoundError, first_few
from vitrail.images.canvas import InputRule

METADATA = "metadata.json"


class Utterances(FileSource):
    """A folder with metadata.json, `{"n_mels": 40, "speakers": {"id": [{"feature_path", "mel_len"}, …], …}}`."""

    def __init__(self, path: str | Path, seed: int = 0) -> None:
        root = Path(path)
        self.width, names, labels = listed(root / METADATA)
        super().__init__(root, Items(Names.of(names), labels), seed, str(path))

    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.float32]:  # type: ignore[override]
        sets, faults = empty_canvases(len(rows), rule), []
        for index, name in enumerate(self.items.names.take(rows)):
            try:
                sets[index] = frames_in(self.path / name, rule.width)
            except SoundError as fault:
                faults.append(f"{name}: {fault}")
            else:
                refuse_longer(name, len(sets[index]), rule)
        if faults:
            raise DamagedImages(faults)
        return sets  # type: ignore[return-value]

    def encoded(self, part: Part, index: int) -> bytes | None:
        return None


def is_utterances(path: str | Path) -> bool:
    return (Path(path) / METADATA).is_file()


def listed(file: Path) -> tuple[int, list[str], Labels]:
    """The bands of a frame, the names of the files, and their speakers."""
    try:
        content: Any = json.loads(file.read_text("utf-8"))
        bands, speakers = int(content["n_mels"]), sorted(content["speakers"])
        names = [[str(one["feature_path"]) for one in content["speakers"][speaker]] for speaker in speakers]
    except (ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{file} does not list the utterances of speakers: {type(fault).__name__} {fault}") from fault
    together = [name for of_one in names for name in of_one]
    if outside := [name for name in together if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise DataError(f"{file} names files outside its folder: {first_few(outside)}")
    if missing := [name for name in together if not (file.parent / name).is_file()]:
        raise DataError(f"{file} names files that are not there: {first_few(missing)}")
    codes = np.repeat(np.arange(len(speakers)), [len(of_one) for of_one in names])
    return bands, together, Labels(tuple(speakers), codes)


def frames_in(file: Path, bands: int | None) -> NDArray[np.float32]:
    """[T, bands]; the file is read as data, and runs no code."""
    import torch  # here: a check of other data needs none

    try:
        tensor = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError) as fault:
        raise SoundError("it is no tensor that torch.save wrote") from fault
    if not isinstance(tensor, torch.Tensor) or tensor.ndim != 2 or tensor.shape[1] != bands or not len(tensor):
        shape = list(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise SoundError(f"it holds {shape} and no frames [T, {bands}]")
    frames: NDArray[np.float32] = tensor.float().numpy()
    if not np.isfinite(frames).all():
        raise SoundError("it has numbers that are not finite")
    return frames
