"""A model file in half precision; norms, softmax and the input pipeline stay in float32."""

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

# Sums of squares overflow half precision and small probabilities underflow; the last four are of the input pipeline.
FLOAT32 = {
    "LayerNormalization", "InstanceNormalization", "GroupNormalization", "BatchNormalization", "ReduceMean",
    "ReduceSum", "ReduceL2", "GlobalAveragePool", "Softmax", "Cast", "Resize", "Sub", "Div",
}  # fmt: skip
FLOAT = 1  # TensorProto.FLOAT, the value of Attention's `softmax_precision`


def to_fp16(model: bytes) -> bytes:
    content = onnx.load_from_string(model)
    del content.graph.value_info[:]  # torch's shapes; the converter infers its own
    blocked = [*DEFAULT_OP_BLOCK_LIST, *sorted(FLOAT32)]
    for node in content.graph.node:
        if node.op_type == "Attention":
            node.attribute.append(onnx.helper.make_attribute("softmax_precision", FLOAT))
    copy_shared_weights(content.graph, set(blocked))
    halved = convert_float_to_float16(content, keep_io_types=True, op_block_list=blocked)
    serialised: bytes = halved.SerializeToString()
    return serialised


def copy_shared_weights(graph: onnx.GraphProto, blocked: set[str]) -> None:
    """Give each node that stays in float32 weights of its own, since the converter fails on shared ones."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        for index, name in enumerate(node.input):
            if node.op_type in blocked and name in weights:
                copy = onnx.TensorProto()
                copy.CopyFrom(weights[name])
                copy.name = f"{name}/{number}"
                graph.initializer.append(copy)
                node.input[index] = copy.name
