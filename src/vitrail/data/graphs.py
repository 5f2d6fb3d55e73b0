"""Graphs as sets of vectors with edges: text files of nodes, each with its tag and its neighbours."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.data.contents import Keys, digests_of, keys_of
from vitrail.data.graph_file import ListedGraph, read_graphs
from vitrail.data.items import Items
from vitrail.data.listed import Indices, ListedSource
from vitrail.data.memory import empty_canvases
from vitrail.data.names import Names
from vitrail.data.source import PARTS
from vitrail.data.targets import Labels
from vitrail.errors import DataError, UsageError
from vitrail.images.canvas import InputRule

NO_NEIGHBOUR = -1


class Graphs(ListedSource):
    """Each graph is the set of its nodes: the tag of each, one-hot, and then the numbers of its neighbours."""

    def __init__(self, path: str | Path, seed: int = 0) -> None:
        files = files_of(Path(path))
        read = [read_graphs(file) for file in files]
        self.graphs = [graph for of_one in read for graph in of_one]
        self.tags = sorted({tag for graph in self.graphs for tag in graph.tags})
        self.edges = max(1, *(graph.degree for graph in self.graphs))
        self.width = len(self.tags) + self.edges
        labels, codes = np.unique([graph.label for graph in self.graphs], return_inverse=True)
        names = Names.of(f"{file.name}:{one.line}" for file, of_one in zip(files, read, strict=True) for one in of_one)
        items = Items(names, Labels(tuple(map(str, labels)), codes), parts_of(files, [len(of_one) for of_one in read]))
        super().__init__(Path(path).resolve().name, items, seed, str(path))

    def canvases(self, rows: Indices, rule: InputRule) -> NDArray[np.float32]:  # type: ignore[override]
        sets = empty_canvases(len(rows), rule)
        for index, row in enumerate(rows.tolist()):
            sets[index] = self.nodes(row)
            refuse_larger(self.items.names[row], len(sets[index]), rule)
        return sets  # type: ignore[return-value]

    def nodes(self, row: int) -> NDArray[np.float32]:
        return vectors_of(self.graphs[row], self.tags, self.edges)

    def pixels(self, row: int, least: int | None) -> NDArray[np.uint8]:
        raise UsageError(f"{self.items.names[row]} is a graph and no image")

    def image_keys(self, rows: Indices) -> Keys:
        return keys_of(digests_of(self.nodes(row).tobytes() for row in rows.tolist()))


def files_of(path: Path) -> list[Path]:
    """The file, or in a folder the files of its parts."""
    if path.is_file():
        return [path]
    files = [path / f"{part}.txt" for part in PARTS]
    if not files[0].is_file():
        raise DataError(f"there is no file of graphs at {path}, and no folder with train.txt in it")
    return [file for file in files if file.is_file()]


def parts_of(files: list[Path], counts: list[int]) -> NDArray[np.int8] | None:
    """Which part each graph is in, where the files are those of parts; those that are missing are cut from training."""
    numbers = [number for file in files for number, part in enumerate(PARTS) if file.name == f"{part}.txt"]
    return np.repeat(np.array(numbers, np.int8), counts) if len(numbers) == len(files) else None


def vectors_of(graph: ListedGraph, tags: list[int], edges: int) -> NDArray[np.float32]:
    """[T, tags + edges]; rows of neighbours are filled up with NO_NEIGHBOUR."""
    own = np.array(graph.tags)[:, None] == np.array(tags)
    neighbours = np.array([row + [NO_NEIGHBOUR] * (edges - len(row)) for row in graph.neighbours])
    return np.hstack([own, neighbours]).astype(np.float32)


def refuse_larger(name: str, count: int, rule: InputRule) -> None:
    if count > rule.size:
        raise DataError(f"{name} has {count:,} nodes, and --data.size is {rule.size:,}: raise it, or remove the graph")
