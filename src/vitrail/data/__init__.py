"""Sources of labelled images: built-in digits, folders, tables, IDX files; nested subsets of any."""

from vitrail.data.digit_scenes import SCENE_SETS, DigitScenes
from vitrail.data.digits import Digits
from vitrail.data.folders import Folders
from vitrail.data.idx import Idx, is_idx
from vitrail.data.source import Part, Samples, Source
from vitrail.data.table_folders import open_table

__all__ = ["DigitScenes", "Digits", "Folders", "Idx", "Part", "Samples", "Source", "open_source"]


def open_source(path: str, seed: int) -> Source:
    """The built-in set called `path`, else the set at this path: IDX files, a table, folders of images."""
    if path == Digits.name:
        return Digits(seed)
    if path in SCENE_SETS:
        return DigitScenes(SCENE_SETS[path], seed)
    return Idx(path, seed) if is_idx(path) else open_table(path, seed) or Folders(path, seed)
