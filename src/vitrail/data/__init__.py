"""Images that are known: embedded digits, folders and tables of one's own, IDX files; nested subsets of any."""

from vitrail.data.digit_scenes import CLASSES as SCENE_CLASSES
from vitrail.data.digit_scenes import DigitScenes
from vitrail.data.digits import Digits
from vitrail.data.folders import Folders
from vitrail.data.idx import Idx, is_idx
from vitrail.data.source import Part, Samples, Source
from vitrail.data.table_folders import open_table

__all__ = ["DigitScenes", "Digits", "Folders", "Idx", "Part", "Samples", "Source", "open_source"]


def open_source(path: str, seed: int) -> Source:
    """The set called `path` where vitrail knows one, else what lies there: IDX files, a table, folders of images."""
    if path == Digits.name:
        return Digits(seed)
    for task in SCENE_CLASSES:
        if path == f"digit-scenes-{task}":
            return DigitScenes(task, seed)
    return Idx(path, seed) if is_idx(path) else open_table(path, seed) or Folders(path, seed)
