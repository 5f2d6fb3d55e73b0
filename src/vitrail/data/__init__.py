"""Sources of labelled images, recordings, graphs: built-in, folders, manifests, IDX files, own; nested subsets."""

import re
from collections.abc import Callable

from vitrail.data.digit_rows import DigitRows
from vitrail.data.digit_scenes import SCENE_SETS, DigitScenes
from vitrail.data.digits import Digits
from vitrail.data.folders import Folders
from vitrail.data.graphs import Graphs
from vitrail.data.idx import Idx, is_idx
from vitrail.data.image_source import ImageSource, OwnSource
from vitrail.data.manifest import Manifest, find_manifest
from vitrail.data.permuted import SPELLING, Permuted
from vitrail.data.procedural import GENERATORS, Procedural
from vitrail.data.recordings import Recordings
from vitrail.data.shards import Shards, is_shards
from vitrail.data.source import Part, Samples, Source
from vitrail.data.utterances import Utterances, is_utterances
from vitrail.errors import UsageError
from vitrail.own_class import Plain

__all__ = [
    "DigitRows",
    "DigitScenes",
    "Digits",
    "Folders",
    "Graphs",
    "Idx",
    "ImageSource",
    "Manifest",
    "Part",
    "Permuted",
    "Procedural",
    "Recordings",
    "Samples",
    "Shards",
    "Source",
    "Utterances",
    "open_source",
]

TORCHVISION = re.compile(r"torchvision(-download)?:([^@]+)(?:@(.+))?")
HUGGING_FACE = "hf:"
SPEECH = "speech:"
GRAPHS = "graphs:"


def open_source(path: str | Plain, seed: int, open_folder: Callable[[str, int], Source] = Folders) -> Source:
    """The built-in set called `path`, else the set at this path: a manifest, IDX files, folders; or one's own class.

    `permute-patches-GRIDxGRID:PATH` is any set of images with their patches in another order; `speech:PATH` are
    recordings, `graphs:PATH` graphs. `open_folder` opens a folder of images without a manifest.
    """
    if isinstance(path, dict):
        return OwnSource(ImageSource.from_plain(path), seed)
    if path in GENERATORS:
        return Procedural(GENERATORS[path], seed)
    if spelled := SPELLING.fullmatch(path):
        across, down, inner = spelled.groups()
        if across != down:
            raise UsageError(f"{path}: canvases are square, and so is the grid: permute-patches-{across}x{across}")
        return Permuted(open_source(inner, seed, open_folder), int(across))
    if path == Digits.name:
        return Digits(seed)
    if path == DigitRows.name:
        return DigitRows(seed)
    if path in SCENE_SETS:
        return DigitScenes(SCENE_SETS[path], seed)
    if path.startswith(SPEECH):
        folder = path.removeprefix(SPEECH)
        return Utterances(folder, seed) if is_utterances(folder) else Recordings(folder, seed)
    if path.startswith(GRAPHS):
        return Graphs(path.removeprefix(GRAPHS), seed)
    if external := open_external(path, seed):
        return external
    if is_idx(path):
        return Idx(path, seed)
    manifest = find_manifest(path)
    return Manifest(manifest, seed) if manifest else open_folder(path, seed)


def open_external(path: str, seed: int) -> Source | None:
    """A set of torchvision or Hugging Face by name, or WebDataset shards; their packages are imported on use."""
    if spelled := TORCHVISION.fullmatch(path):
        from vitrail.data.torchvision_sets import FOLDER, TorchvisionSet

        download, name, folder = spelled.groups()
        return TorchvisionSet(name, folder or FOLDER, download is not None, seed)
    if path.startswith(HUGGING_FACE):
        from vitrail.data.hugging_face import HuggingFaceSet

        return HuggingFaceSet(path.removeprefix(HUGGING_FACE), seed)
    return Shards(path, seed) if is_shards(path) else None
