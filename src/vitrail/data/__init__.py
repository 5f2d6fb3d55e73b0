"""Labelled pictures: the embedded digits, folders of one's own, and nested subsets of either."""

from vitrail.data.digits import Digits
from vitrail.data.folders import Folders
from vitrail.data.source import Part, Pictures, Source

__all__ = ["Digits", "Folders", "Part", "Pictures", "Source", "open_source"]


def open_source(path: str, seed: int) -> Source:
    """The set called `path` where vitrail knows one, else the folder there."""
    return Digits(seed) if path == Digits.name else Folders(path, seed)
