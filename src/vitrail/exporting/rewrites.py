"""Exact rewrites of an exported graph that onnxruntime does not make by itself."""

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

# What treats each vector of a set alone: rows in, the same rows out.
ROW_WISE = {"Gelu", "Relu", "Identity"}


def apply_rewrites(model: ir.Model) -> None:
    """Attention without image-sized transposes; and of the last block, only the vector that is read."""
    for attention in [node for node in model.graph if node.op_type == "Attention"]:
        join_heads(model.graph, attention)
    for gather in [node for node in model.graph if reads_one_row(node)]:
        compute_one_row(model.graph, gather)
    RemoveUnusedNodesPass()(model)
    forget_origin(model.graph)


def forget_origin(graph: ir.Graph) -> None:
    """Drop torch's notes on the source line of each node: half of a small file."""
    graph.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()


def join_heads(graph: ir.Graph, attention: ir.Node) -> None:
    """Let Attention take queries, keys and values as [N, T, heads · d], where they were one matrix to begin with.

    timm's [N, T, 3 · heads · d] → reshape → transpose → three slices → Attention → transpose → reshape becomes
    split → Attention.
    """
    found = heads_before(attention)
    after = rows_after(attention)
    if found is None or after is None:
        return
    together, heads = found
    split = ir.node("Split", [together], {"axis": -1, "num_outputs": 3}, num_outputs=3)
    options = {name: attribute.value for name, attribute in attention.attributes.items()}
    joined = ir.node("Attention", split.outputs, {**options, "q_num_heads": heads, "kv_num_heads": heads})
    joined.outputs[0].shape, joined.outputs[0].type = after.shape, after.type
    graph.insert_before(attention, [split, joined])
    after.replace_all_uses_with(joined.outputs[0])


def heads_before(attention: ir.Node) -> tuple[ir.Value, int] | None:
    """The matrix [N, T, 3 · heads · d] that was cut into queries, keys and values, and the number of heads."""
    if len(attention.inputs) != 3:  # a mask is shaped for heads apart
        return None
    parts = [step_back(value, "Squeeze", "Slice") for value in attention.inputs]
    starts = [constants(part.producer(), 1) for part in parts if part is not None]
    sources = {part.producer().inputs[0] for part in parts if part is not None}  # type: ignore[union-attr]
    if starts != [(0,), (1,), (2,)] or len(sources) != 1:
        return None
    turned = producer_of(sources.pop(), "Transpose")
    if turned is None or tuple(turned.attributes["perm"].as_ints()) != (2, 0, 3, 1, 4):
        return None
    shaped = producer_of(turned.inputs[0], "Reshape")
    shape = turned.inputs[0].shape if turned.inputs[0] else None
    if shaped is None or shape is None or shape[2] != 3 or not isinstance(shape[3], int):
        return None
    together = shaped.inputs[0]
    return None if together is None else (together, shape[3])


def rows_after(attention: ir.Node) -> ir.Value | None:
    """The value [N, T, heads · d] that the heads become again."""
    turned = only_use(attention.outputs[0], "Transpose")
    if turned is None or tuple(turned.attributes["perm"].as_ints()) != (0, 2, 1, 3):
        return None
    shaped = only_use(turned.outputs[0], "Reshape")
    return None if shaped is None else shaped.outputs[0]


def compute_one_row(graph: ir.Graph, gather: ir.Node) -> None:
    """Where one row is read in the end, cut it out as early as all that follows needs no other."""
    last = gather.inputs[0]
    assert last is not None
    alone = read_at_one_row_only(graph, gather)
    if last not in alone:
        return
    (row,) = constants(gather, 1)
    cut: dict[ir.Value, ir.Value] = {}
    for value in alone:
        node = value.producer()
        assert node is not None
        for place in row_inputs(node):
            whole = node.inputs[place]
            if whole is None or whole in alone:
                continue
            if whole not in cut:
                cut[whole] = slice_row(graph, node, whole, row)
            node.replace_input_with(place, cut[whole])
        value.shape = one_row(value.shape)
    gather.replace_input_with(1, constant(graph, gather, 0))


def read_at_one_row_only(graph: ir.Graph, gather: ir.Node) -> list[ir.Value]:
    """Values [N, T, D], in the graph's order, of which nothing but the row that `gather` reads has an effect."""
    found: list[ir.Value] = []
    for node in reversed(graph):
        if not row_inputs(node):
            continue
        value = node.outputs[0]
        uses = list(value.uses())
        reads = [
            use.node is gather or (use.node.outputs[0] in found and use.idx in row_inputs(use.node)) for use in uses
        ]
        if reads and all(reads) and not value.is_graph_output():
            found.append(value)
    return found[::-1]


def row_inputs(node: ir.Node) -> list[int]:
    """Which inputs of this node lend their rows to its output; none where rows mix, or are not the second axis."""
    if node.op_type in ROW_WISE or (node.op_type == "LayerNormalization" and over_vectors(node)):
        return [0] if rank(node.inputs[0]) == 3 else []
    if node.op_type == "MatMul":
        return [0] if rank(node.inputs[0]) == 3 and is_constant(node.inputs[1]) and rank(node.inputs[1]) == 2 else []
    if node.op_type == "Attention":  # each query is answered alone
        return [0] if len(node.inputs) == 3 and rank(node.inputs[0]) == 3 else []
    if node.op_type in ("Add", "Mul"):
        rows = [place for place, value in enumerate(node.inputs) if rank(value) == 3]
        others = [value for value in node.inputs if rank(value) != 3]
        mixed = any(is_constant(node.inputs[place]) for place in rows) or any(rank(value) != 1 for value in others)
        return [] if mixed else rows
    return []


def over_vectors(norm: ir.Node) -> bool:
    """Whether each vector is normalised by itself: over the last axis and no other."""
    return norm.attributes.get_int("axis", -1) in (-1, 2)


def reads_one_row(node: ir.Node) -> bool:
    """Gather of one row of [N, T, D]."""
    return (
        node.op_type == "Gather"
        and node.attributes.get_int("axis", 0) == 1
        and rank(node.inputs[0]) == 3
        and rank(node.inputs[1]) == 0
        and is_constant(node.inputs[1])
    )


def slice_row(graph: ir.Graph, before: ir.Node, whole: ir.Value, row: int) -> ir.Value:
    end = 2**63 - 1 if row == -1 else row + 1
    bounds = [constant(graph, before, [number]) for number in (row, end, 1)]
    node = ir.node("Slice", [whole, *bounds])
    node.outputs[0].shape, node.outputs[0].type = one_row(whole.shape), whole.type
    graph.insert_before(before, node)
    return node.outputs[0]


def constant(graph: ir.Graph, before: ir.Node, number: int | list[int]) -> ir.Value:
    node = ir.node("Constant", [], {"value": ir.tensor(number, dtype=ir.DataType.INT64)})
    graph.insert_before(before, node)
    return node.outputs[0]


def one_row(shape: ir.Shape | None) -> ir.Shape | None:
    return None if shape is None else ir.Shape([shape[0], 1, *list(shape)[2:]])


def rank(value: ir.Value | None) -> int | None:
    return None if value is None or value.shape is None else len(value.shape)


def is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def constants(node: ir.Node | None, place: int) -> tuple[int, ...]:
    """The numbers of a constant input."""
    value = node.inputs[place] if node is not None else None
    known = value.const_value if value is not None else None
    return () if known is None else tuple(int(number) for number in known.numpy().flatten())


def producer_of(value: ir.Value | None, kind: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == kind else None


def step_back(value: ir.Value | None, *kinds: str) -> ir.Value | None:
    """Back over these nodes: the output of the last of them."""
    for kind in kinds:
        node = producer_of(value, kind)
        if node is None:
            return None
        found, value = node.outputs[0], node.inputs[0]
    return found


def only_use(value: ir.Value, kind: str) -> ir.Node | None:
    users = [use.node for use in value.uses()]
    return users[0] if len(users) == 1 and users[0].op_type == kind else None
