"""Exact graph rewrites that onnxruntime's own optimiser does not make."""

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

# Operators that compute each row, a vector of the set, from that row alone.
ROW_WISE = {"Gelu", "Relu", "Identity"}


def apply_rewrites(model: ir.Model) -> None:
    """Remove the transposes around Attention; compute only the vector that is read in the last block."""
    for attention in [node for node in model.graph if node.op_type == "Attention"]:
        merge_heads(model.graph, attention)
    for gather in [node for node in model.graph if reads_one_row(node)]:
        compute_one_row(model.graph, gather)
    RemoveUnusedNodesPass()(model)
    drop_annotations(model.graph)


def drop_annotations(graph: ir.Graph) -> None:
    """Drop torch's annotations, such as each node's source line: half of a small file."""
    graph.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()


def merge_heads(graph: ir.Graph, attention: ir.Node) -> None:
    """Give Attention its queries, keys and values as [N, T, heads · d], where they are slices of one matrix.

    timm's [N, T, 3 · heads · d] → Reshape → Transpose → three slices → Attention → Transpose → Reshape becomes
    Split → Attention.
    """
    source = packed_qkv(attention)
    merged = merged_output(attention)
    if source is None or merged is None:
        return
    packed, heads = source
    split = ir.node("Split", [packed], {"axis": -1, "num_outputs": 3}, num_outputs=3)
    options = {name: attribute.value for name, attribute in attention.attributes.items()}
    fused = ir.node("Attention", split.outputs, {**options, "q_num_heads": heads, "kv_num_heads": heads})
    fused.outputs[0].shape, fused.outputs[0].type = merged.shape, merged.type
    graph.insert_before(attention, [split, fused])
    merged.replace_all_uses_with(fused.outputs[0])


def packed_qkv(attention: ir.Node) -> tuple[ir.Value, int] | None:
    """The matrix [N, T, 3 · heads · d] of which queries, keys and values are slices, and the number of heads."""
    if len(attention.inputs) != 3:  # a mask is shaped for separate heads
        return None
    parts = [step_back(value, "Squeeze", "Slice") for value in attention.inputs]
    starts = [constants(part.producer(), 1) for part in parts if part is not None]
    sources = {part.producer().inputs[0] for part in parts if part is not None}  # type: ignore[union-attr]
    if starts != [(0,), (1,), (2,)] or len(sources) != 1:
        return None
    transpose = producer_of(sources.pop(), "Transpose")
    if transpose is None or tuple(transpose.attributes["perm"].as_ints()) != (2, 0, 3, 1, 4):
        return None
    reshape = producer_of(transpose.inputs[0], "Reshape")
    shape = transpose.inputs[0].shape if transpose.inputs[0] else None
    if reshape is None or shape is None or shape[2] != 3 or not isinstance(shape[3], int):
        return None
    packed = reshape.inputs[0]
    return None if packed is None else (packed, shape[3])


def merged_output(attention: ir.Node) -> ir.Value | None:
    """The value [N, T, heads · d] in which the outputs of the heads are merged."""
    transpose = only_user(attention.outputs[0], "Transpose")
    if transpose is None or tuple(transpose.attributes["perm"].as_ints()) != (0, 2, 1, 3):
        return None
    reshape = only_user(transpose.outputs[0], "Reshape")
    return None if reshape is None else reshape.outputs[0]


def compute_one_row(graph: ir.Graph, gather: ir.Node) -> None:
    """Where only one row is read in the end, slice it as early as the nodes in between allow."""
    last = gather.inputs[0]
    assert last is not None
    narrow = read_at_one_row(graph, gather)
    if last not in narrow:
        return
    (row,) = constants(gather, 1)
    sliced: dict[ir.Value, ir.Value] = {}
    for value in narrow:
        node = value.producer()
        assert node is not None
        for index in row_inputs(node):
            full = node.inputs[index]
            if full is None or full in narrow:
                continue
            if full not in sliced:
                sliced[full] = slice_row(graph, node, full, row)
            node.replace_input_with(index, sliced[full])
        value.shape = one_row(value.shape)
    gather.replace_input_with(1, constant(graph, gather, 0))


def read_at_one_row(graph: ir.Graph, gather: ir.Node) -> list[ir.Value]:
    """Values [N, T, D], in the graph's order, of which only the row that `gather` reads has an effect."""
    values: list[ir.Value] = []
    for node in reversed(graph):
        if not row_inputs(node):
            continue
        value = node.outputs[0]
        uses = list(value.uses())
        reads = [
            use.node is gather or (use.node.outputs[0] in values and use.idx in row_inputs(use.node)) for use in uses
        ]
        if reads and all(reads) and not value.is_graph_output():
            values.append(value)
    return values[::-1]


def row_inputs(node: ir.Node) -> list[int]:
    """The inputs whose rows this node maps to rows of its output; none where rows mix, or are not the second axis."""
    if node.op_type in ROW_WISE or (node.op_type == "LayerNormalization" and normalises_rows(node)):
        return [0] if rank(node.inputs[0]) == 3 else []
    if node.op_type == "MatMul":
        return [0] if rank(node.inputs[0]) == 3 and is_constant(node.inputs[1]) and rank(node.inputs[1]) == 2 else []
    if node.op_type == "Attention":  # each query is computed on its own
        return [0] if len(node.inputs) == 3 and rank(node.inputs[0]) == 3 else []
    if node.op_type in ("Add", "Mul"):
        rows = [index for index, value in enumerate(node.inputs) if rank(value) == 3]
        others = [value for value in node.inputs if rank(value) != 3]
        mixed = any(is_constant(node.inputs[index]) for index in rows) or any(rank(value) != 1 for value in others)
        return [] if mixed else rows
    return []


def normalises_rows(norm: ir.Node) -> bool:
    """Whether each vector is normalised on its own: over the last axis alone."""
    return norm.attributes.get_int("axis", -1) in (-1, 2)


def reads_one_row(node: ir.Node) -> bool:
    """Whether this node gathers one row of [N, T, D]."""
    return (
        node.op_type == "Gather"
        and node.attributes.get_int("axis", 0) == 1
        and rank(node.inputs[0]) == 3
        and rank(node.inputs[1]) == 0
        and is_constant(node.inputs[1])
    )


def slice_row(graph: ir.Graph, before: ir.Node, full: ir.Value, row: int) -> ir.Value:
    end = 2**63 - 1 if row == -1 else row + 1
    bounds = [constant(graph, before, [number]) for number in (row, end, 1)]
    node = ir.node("Slice", [full, *bounds])
    node.outputs[0].shape, node.outputs[0].type = one_row(full.shape), full.type
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


def constants(node: ir.Node | None, index: int) -> tuple[int, ...]:
    """The numbers of a constant input."""
    value = node.inputs[index] if node is not None else None
    tensor = value.const_value if value is not None else None
    return () if tensor is None else tuple(int(number) for number in tensor.numpy().flatten())


def producer_of(value: ir.Value | None, kind: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == kind else None


def step_back(value: ir.Value | None, *kinds: str) -> ir.Value | None:
    """The output of the last of these nodes, going back from `value`."""
    for kind in kinds:
        node = producer_of(value, kind)
        if node is None:
            return None
        output, value = node.outputs[0], node.inputs[0]
    return output


def only_user(value: ir.Value, kind: str) -> ir.Node | None:
    users = [use.node for use in value.uses()]
    return users[0] if len(users) == 1 and users[0].op_type == kind else None
