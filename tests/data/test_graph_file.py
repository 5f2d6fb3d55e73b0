"""Text files of graphs: what their lines say, and what is wrong with them, by file and line."""

import re
from pathlib import Path

import pytest

from vitrail.data.graph_file import ListedGraph, read_graphs
from vitrail.errors import DataError

TRIANGLE = "3 1\n5 2 1 2\n5 2 0 2\n6 2 0 1"
ALONE = "1 0\n7 0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "graphs.txt"


def test_graphs_are_read_line_by_line(file: Path) -> None:
    file.write_text(f"2\n{TRIANGLE}\n{ALONE}\n\n")
    triangle = ListedGraph(2, 1, [5, 5, 6], [[1, 2], [0, 2], [0, 1]])
    assert read_graphs(file) == [triangle, ListedGraph(6, 0, [7], [[]])]
    assert triangle.degree == 2


def test_an_edge_that_comes_twice_is_one_and_one_to_the_node_itself_is_none(file: Path) -> None:
    file.write_text("1\n2 0\n0 4 1 1 0 0\n0 1 0\n")
    assert read_graphs(file)[0].neighbours == [[1], [0]]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "the line is empty"),
        ("two", 1, "in integers"),
        ("0", 1, "the number of graphs alone"),
        ("2 2", 1, "the number of graphs alone"),
        (f"2\n{TRIANGLE}", 6, "the file ends before the number of nodes of a graph and its label"),
        (f"1\n{TRIANGLE}\n{ALONE}", 6, "goes on after the 1 graph(s)"),
        ("1\n3", 2, "the number of nodes of a graph and its label, and the line has only 3"),
        ("1\n0 1", 2, "at least 1"),
        ("1\n1 1 0\n5 0", 2, "1 number(s) more"),
        ("1\n2 0\n5 1 1", 4, "the file ends before node 1 of 2"),
        ("1\n2 0\n\n5 1 1\n5 1 0", 3, "the line is empty"),
        ("1\n2 0\n5 1 1\n5", 4, "its tag, degree and neighbours, and the line has only 5"),
        ("1\n2 0\n5 2 1\n5 1 0", 3, "degree 2, and 1 neighbour(s)"),
        ("1\n2 0\n5 1 2\n5 1 0", 3, "nodes 0 to 1, so these neighbours are none: 2"),
        ("1\n2 0\n5 1 -1\n5 1 0", 3, "these neighbours are none: -1"),
        ("1\n2 0\nC 1 1\n5 1 0", 3, "in integers"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(text: str, line: int, reason: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{file}, line {line}: ") + ".*" + re.escape(reason)):
        read_graphs(file)


def test_what_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="no text file of graphs"):
        read_graphs(file)
