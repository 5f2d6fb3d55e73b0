"""Graphs by their edges: attention over them is softmax under their adjacency, and invalid edges are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vitrail.attention.graph import NO_NEIGHBOUR, Graph, table_of, table_of_edges
from vitrail.attention.softmax import Softmax
from vitrail.errors import UsageError

Vectors = Callable[..., Tensor]
NODES = 12
PATH = [(0, 1), (1, 2)]


def random_edges(count: int = 25) -> Tensor:
    """With loops, and with some that come twice."""
    return torch.randint(NODES, (count, 2), generator=torch.Generator().manual_seed(1))


def adjacency(edges: Tensor, directed: bool) -> Tensor:
    """Which node (row) sees which (column)."""
    adjacent = torch.eye(NODES, dtype=torch.bool)
    for source, target in edges.tolist():
        adjacent[target, source] = True
        if not directed:
            adjacent[source, target] = True
    return adjacent


def both(table: Tensor) -> tuple[Any, Any]:
    """Attention over a graph, and softmax attention with the same weights."""
    torch.manual_seed(0)
    graph, full = Graph(16, num_heads=4, table=table).double().eval(), Softmax(16, num_heads=4).double().eval()
    full.load_state_dict(graph.state_dict())
    return graph, full


@pytest.mark.parametrize("directed", [False, True])
def test_attention_over_edges_is_softmax_under_their_adjacency(directed: bool, vectors: Vectors) -> None:
    edges, x = random_edges(), vectors(NODES)
    adjacent = adjacency(edges, directed)
    table = table_of_edges(edges, NODES, directed)
    assert torch.equal(table, table_of(adjacent))
    graph, full = both(table)
    torch.testing.assert_close(graph(x), full(x, attn_mask=adjacent), atol=1e-12, rtol=0)
    torch.testing.assert_close(graph.weights(x), full.weights(x, adjacent), atol=1e-12, rtol=0)


def test_graphs_of_a_batch_may_have_fewer_nodes(vectors: Vectors) -> None:
    """Masked nodes are as if they and their edges were not there."""
    edges, x, counts = random_edges(), vectors(NODES, batch=3), torch.tensor([12, 7, 1])
    seen = (torch.arange(NODES) < counts[:, None])[:, None, None]
    graph, full = both(table_of_edges(edges, NODES))
    outputs = graph(x, attn_mask=seen)
    pairs = adjacency(edges, directed=False) & seen
    torch.testing.assert_close(outputs, full(x, attn_mask=pairs), atol=1e-12, rtol=0)
    for image, count in enumerate(counts.tolist()):
        within = edges[(edges < count).all(dim=1)]
        alone, _ = both(table_of_edges(within, count))
        expected = alone(x[image : image + 1, :count])[0]
        torch.testing.assert_close(outputs[image, :count], expected, atol=1e-12, rtol=0)


def test_several_graphs_as_one_do_not_see_each_other(vectors: Vectors) -> None:
    x = vectors(7)
    joined, _ = both(table_of_edges([*PATH, (3, 4), (4, 5), (5, 6)], 7))
    first, _ = both(table_of_edges(PATH, 3))
    torch.testing.assert_close(joined(x)[:, :3], first(x[:, :3]), atol=1e-12, rtol=0)


def test_rows_are_the_nodes_that_a_node_sees_in_order() -> None:
    none = NO_NEIGHBOUR
    assert table_of_edges(PATH, 4).tolist() == [[0, 1, none], [0, 1, 2], [1, 2, none], [3, none, none]]
    assert table_of_edges(PATH, 4, directed=True).tolist() == [[0, none], [0, 1], [1, 2], [3, none]]


def test_edges_that_come_twice_and_edges_of_a_node_to_itself_change_nothing() -> None:
    again = [*PATH, (1, 0), (0, 1), (2, 2)]
    assert torch.equal(table_of_edges(again, 3), table_of_edges(PATH, 3))


@pytest.mark.parametrize("edges", [[], torch.empty(0, 2)], ids=["list", "tensor"])
def test_without_edges_each_node_sees_itself(edges: Any, vectors: Vectors) -> None:
    assert table_of_edges(edges, 3).tolist() == [[0], [1], [2]]
    graph, x = both(table_of_edges(edges, 3))[0], vectors(3)
    _, _, v = graph.heads(x)
    torch.testing.assert_close(graph(x), graph.merge(v), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("edges", "nodes", "reason"),
    [
        ([(0, 1), (3, 12)], 4, "there are 4 nodes, numbered from 0, so these are edges to none: 3–12"),
        ([(0, 1), (-1, 2), (4, 4)], 4, "edges to none: -1–2; 4–4"),
        ([(0, 1)], 0, "at least one node, not 0"),
        ([(0, 1, 2)], 4, r"pairs of node numbers, \[E, 2\]; these are torch.int64 \[1, 3\]"),
        ([0, 1], 4, r"these are torch.int64 \[2\]"),
        ([(0.0, 1.0)], 4, r"these are torch.float32 \[1, 2\]"),
        ([(0, 1), (2,)], 4, "edges are pairs of node numbers: expected sequence of length 2"),
        ([("a", "b")], 4, "edges are pairs of node numbers: "),
    ],
)
def test_invalid_edges_are_refused(edges: Any, nodes: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        table_of_edges(edges, nodes)


def test_another_number_of_vectors_than_nodes_is_refused(vectors: Vectors) -> None:
    with pytest.raises(UsageError, match="the graph has 3 nodes, and there are 5 vectors"):
        both(table_of_edges(PATH, 3))[0](vectors(5))
