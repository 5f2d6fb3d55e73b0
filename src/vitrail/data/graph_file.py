"""Text files of graphs: their number; of each its nodes and label; of each node its tag, degree and neighbours."""

from dataclasses import dataclass
from pathlib import Path

from vitrail.errors import DataError, first_few


@dataclass(frozen=True)
class ListedGraph:
    """A graph as its lines have it; a node's neighbours are in order, each once and never itself."""

    line: int  # its first, from 1
    label: int
    tags: list[int]
    neighbours: list[list[int]]

    @property
    def degree(self) -> int:
        """The most neighbours of a node."""
        return max(map(len, self.neighbours))


@dataclass(frozen=True)
class Lines:
    """The lines of a file, which errors name."""

    file: Path
    texts: list[str]

    def fault(self, at: int, why: str) -> DataError:
        return DataError(f"{self.file}, line {at + 1}: {why}")

    def numbers(self, at: int, wanted: str, least: int) -> list[int]:
        """The integers of a line, at least so many."""
        if at >= len(self.texts):
            raise self.fault(at, f"the file ends before {wanted}")
        words = self.texts[at].split()
        if len(words) < least:
            raise self.fault(
                at, f"here belongs {wanted}, and the line {f'has only {words[0]}' if words else 'is empty'}"
            )
        try:
            return [int(word) for word in words]
        except ValueError as fault:
            raise self.fault(at, f"here belongs {wanted}, in integers: {fault}") from fault


def read_graphs(file: Path) -> list[ListedGraph]:
    try:
        lines = Lines(file, file.read_text("utf-8").rstrip().split("\n"))
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{file} is no text file of graphs: {fault}") from fault
    count, *others = lines.numbers(0, "the number of graphs", 1)
    if others or count < 1:
        raise lines.fault(0, f"here belongs the number of graphs alone, and the line is '{lines.texts[0].strip()}'")
    graphs: list[ListedGraph] = []
    at = 1
    for _ in range(count):
        graphs.append(read_graph(lines, at))
        at += 1 + len(graphs[-1].tags)
    if at < len(lines.texts):
        raise lines.fault(at, f"the file goes on after the {count} graph(s) that its first line promises")
    return graphs


def read_graph(lines: Lines, at: int) -> ListedGraph:
    nodes, label, *others = lines.numbers(at, "the number of nodes of a graph and its label", 2)
    if others or nodes < 1:
        raise lines.fault(
            at,
            f"a graph begins with its number of nodes, at least 1, and its label; this is {nodes} nodes, "
            f"label {label}, and {len(others)} number(s) more",
        )
    rows = [read_node(lines, at + 1 + node, node, nodes) for node in range(nodes)]
    return ListedGraph(at + 1, label, [tag for tag, _ in rows], [neighbours for _, neighbours in rows])


def read_node(lines: Lines, at: int, node: int, nodes: int) -> tuple[int, list[int]]:
    tag, degree, *neighbours = lines.numbers(at, f"node {node} of {nodes}: its tag, degree and neighbours", 2)
    if degree != len(neighbours):
        raise lines.fault(at, f"the node has degree {degree}, and {len(neighbours)} neighbour(s) are listed")
    if beyond := [str(one) for one in neighbours if not 0 <= one < nodes]:
        raise lines.fault(
            at, f"the graph has nodes 0 to {nodes - 1}, so these neighbours are none: {first_few(beyond)}"
        )
    return tag, sorted(set(neighbours) - {node})
