"""Graphs by their edges: attention over them is softmax under their adjacency, and invalid edges are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitrail.attention.graph import NO_NEIGHBOUR, Graph, table_of, table_of_edges
from vitrail.attention.softmax import Softmax
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import ViT
from vitrail.models.input import Input, together
from vitrail.vectors.sets import VectorSet

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


TAGS, DEGREE = 3, 4
RULE = InputRule(9, "native", width=TAGS + DEGREE, edges=DEGREE)


def random_graph(nodes: int, seed: int) -> NDArray[np.float32]:
    """Random features, and a random number of neighbours of each node."""
    random = np.random.default_rng(seed)
    neighbours = np.full((nodes, DEGREE), NO_NEIGHBOUR)
    for node, row in enumerate(neighbours):
        others = random.permutation(np.delete(np.arange(nodes), node))[: random.integers(DEGREE + 1)]
        row[: len(others)] = others
    return np.hstack([random.normal(size=(nodes, TAGS)), neighbours]).astype(np.float32)


def network(**options: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"width": 16, "depth": 2, "heads": 4, "attention": "graph", "positions": "none"}
    net = ViT(**{**sizes, **options}).build_for(RULE, 5).double().eval()
    for parameter in net.parameters():  # those that it begins with are so small that edges would hardly count
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def outputs(net: Any, *graphs: NDArray[np.float32]) -> Tensor:
    sets = np.empty(len(graphs), object)
    sets[:] = graphs
    return net(sets_of(sets))  # type: ignore[no-any-return]


def sets_of(graphs: NDArray[Any]) -> VectorSet:
    sets: VectorSet = together(graphs, RULE)
    return Input(RULE).normalised(sets.with_vectors(sets.vectors.double()))


def message_passing(net: Any, graph: NDArray[np.float32]) -> Tensor:
    """A graph neural network written out, one node after the other, with the weights of `net`."""
    states = list(net.embedded(torch.from_numpy(graph[:, :TAGS]).double()[None])[0])
    edges = [[node, *(int(one) for one in row if one >= 0)] for node, row in enumerate(graph[:, TAGS:])]
    for block in net.blocks:
        queries, keys, values = zip(*(block.attn.qkv(block.norm1(one)).view(3, 4, 4) for one in states), strict=True)
        received = []
        for node, neighbours in enumerate(edges):
            scores = torch.stack([(queries[node] * keys[one]).sum(dim=1) / 2 for one in neighbours])  # √4 = 2
            messages = torch.stack([values[one] for one in neighbours])
            received.append(block.attn.proj((scores.softmax(dim=0).unsqueeze(2) * messages).sum(dim=0).flatten()))
        states = [one + message for one, message in zip(states, received, strict=True)]
        states = [one + block.mlp(block.norm2(one)) for one in states]
    return net.head(net.fc_norm(net.norm(torch.stack(states)).mean(dim=0)))  # type: ignore[no-any-return]


def test_a_network_over_edges_is_the_graph_neural_network_written_out() -> None:
    net, graphs = network(), [random_graph(nodes, seed) for seed, nodes in enumerate((9, 5, 1, 7))]
    expected = torch.stack([message_passing(net, graph) for graph in graphs])
    torch.testing.assert_close(outputs(net, *graphs), expected, atol=1e-12, rtol=0)


def test_the_order_of_nodes_has_no_effect_and_edges_have_one() -> None:
    net, graph = network(pool="token"), random_graph(7, 0)
    order = np.random.default_rng(1).permutation(7)
    new = np.append(np.argsort(order), NO_NEIGHBOUR)  # the new number of each node; the last is that of none
    renumbered = graph[order]
    renumbered[:, TAGS:] = new[renumbered[:, TAGS:].astype(int)]
    torch.testing.assert_close(outputs(net, renumbered), outputs(net, graph), atol=1e-12, rtol=0)
    apart = graph.copy()
    apart[:, TAGS:] = NO_NEIGHBOUR
    assert (outputs(net, apart) - outputs(net, graph)).abs().max() > 1e-3
    everything = network(attention="softmax")
    torch.testing.assert_close(outputs(everything, apart), outputs(everything, graph), atol=1e-12, rtol=0)


def test_the_weights_that_are_shown_are_those_over_edges() -> None:
    net, graph = network(depth=1), random_graph(7, 0)
    sets = sets_of(graph[None])
    x, seen = torch.randn(1, 7, 16, dtype=torch.float64), sets.visible(0)
    weights = net.blocks[0].attn.weights(x, seen)
    assert seen.adjacent is not None
    assert torch.equal(weights[0, 0] > 0, seen.adjacent[0])
    q, k, v = net.blocks[0].attn.heads(x, seen)
    torch.testing.assert_close(weights @ v, net.blocks[0].attn.mix_sets(q, k, v, seen), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"positions": "learned"}, "nodes of a graph have no order, and positions 'learned'"),
        ({"attention": "window"}, "attention 'window'"),
        ({"attention": "lstm"}, "attention 'lstm'"),
        ({"block": "conformer"}, "block 'conformer'"),
        ({"drop_patches": 0.1}, "leave out drop_patches"),
    ],
    ids=str,
)
def test_what_needs_an_order_of_nodes_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        network(**options)
