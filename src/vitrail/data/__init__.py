"""Labelled pictures: the embedded digits, folders of one's own, IDX files, and nested subsets of any."""

from vitrail.data.digits import Digits
from vitrail.data.folders import Folders
from vitrail.data.idx import Idx, is_idx
from vitrail.data.source import Part, Pictures, Source

__all__ = ["Digits", "Folders", "Idx", "Part", "Pictures", "Source", "open_source"]


def open_source(path: str, seed: int) -> Source:
    """The set called `path` where vitrail knows one, else what lies there: IDX files, or folders of pictures."""
    if path == Digits.name:
        return Digits(seed)
    return Idx(path, seed) if is_idx(path) else Folders(path, seed)
