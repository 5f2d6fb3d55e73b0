"""Sources of labelled images: built-in digits, folders, manifests, IDX files, own classes; nested subsets of any."""

from vitrail.data.digit_scenes import SCENE_SETS, DigitScenes
from vitrail.data.digits import Digits
from vitrail.data.folders import Folders
from vitrail.data.idx import Idx, is_idx
from vitrail.data.image_source import ImageSource, OwnSource
from vitrail.data.manifest import Manifest, find_manifest
from vitrail.data.source import Part, Samples, Source
from vitrail.own_class import Plain

__all__ = [
    "DigitScenes",
    "Digits",
    "Folders",
    "Idx",
    "ImageSource",
    "Manifest",
    "Part",
    "Samples",
    "Source",
    "open_source",
]


def open_source(path: str | Plain, seed: int) -> Source:
    """The built-in set called `path`, else the set at this path: a manifest, IDX files, folders; or one's own class."""
    if isinstance(path, dict):
        return OwnSource(ImageSource.from_plain(path), seed)
    if path == Digits.name:
        return Digits(seed)
    if path in SCENE_SETS:
        return DigitScenes(SCENE_SETS[path], seed)
    if is_idx(path):
        return Idx(path, seed)
    manifest = find_manifest(path)
    return Manifest(manifest, seed) if manifest else Folders(path, seed)
