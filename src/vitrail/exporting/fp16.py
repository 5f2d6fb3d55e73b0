"""A model file in half precision: norms, softmax and the way from bytes to pixels stay in float32."""

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

# Sums of squares overflow half precision, and small shares vanish in it; the last four make pixels of bytes.
FLOAT32 = {
    "LayerNormalization", "InstanceNormalization", "GroupNormalization", "BatchNormalization", "ReduceMean",
    "ReduceSum", "ReduceL2", "GlobalAveragePool", "Softmax", "Cast", "Resize", "Sub", "Div",
}  # fmt: skip
FLOAT = 1  # TensorProto.FLOAT, as Attention names the precision of its softmax


def to_fp16(model: bytes) -> bytes:
    content = onnx.load_from_string(model)
    del content.graph.value_info[:]  # torch's annotations; the converter infers its own
    blocked = [*DEFAULT_OP_BLOCK_LIST, *sorted(FLOAT32)]
    for node in content.graph.node:
        if node.op_type == "Attention":
            node.attribute.append(onnx.helper.make_attribute("softmax_precision", FLOAT))
    own_weights(content.graph, set(blocked))
    halved = convert_float_to_float16(content, keep_io_types=True, op_block_list=blocked)
    smaller: bytes = halved.SerializeToString()
    return smaller


def own_weights(graph: onnx.GraphProto, blocked: set[str]) -> None:
    """Give each node that stays in float32 weights of its own: the converter trips over those that several share."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        for place, name in enumerate(node.input):
            if node.op_type in blocked and name in weights:
                copy = onnx.TensorProto()
                copy.CopyFrom(weights[name])
                copy.name = f"{name}/{number}"
                graph.initializer.append(copy)
                node.input[place] = copy.name
