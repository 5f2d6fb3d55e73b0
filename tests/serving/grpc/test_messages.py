"""Our messages are those that Triton's client was generated from."""

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc import service_pb2

from vitrail.serving.grpc.messages import CLASSES, SERVICE

# Ours has one message where theirs has two of the same fields, or one inside another.
THEIRS = {
    "TensorMetadata": "ModelMetadataResponse.TensorMetadata",
    "InferTensor": "ModelInferRequest.InferInputTensor",
    "InferRequestedOutputTensor": "ModelInferRequest.InferRequestedOutputTensor",
}


def theirs(name: str) -> Descriptor:
    outer, _, inner = THEIRS.get(name, name).partition(".")
    message = service_pb2.DESCRIPTOR.message_types_by_name[outer]
    return message.nested_types_by_name[inner] if inner else message


def described(field: FieldDescriptor) -> tuple[int, str, int, bool, bool]:
    is_choice = field.containing_oneof is not None
    return field.number, field.name, field.type, field.is_repeated, is_choice


@pytest.mark.parametrize("name", CLASSES)
def test_fields_have_the_published_numbers_and_types(name: str) -> None:
    ours = CLASSES[name].DESCRIPTOR
    assert [*map(described, ours.fields)] == [*map(described, theirs(name).fields)]


def test_inputs_and_outputs_of_theirs_have_the_same_fields() -> None:
    inputs, outputs = (
        service_pb2.DESCRIPTOR.message_types_by_name[f"ModelInfer{side}"].nested_types_by_name[f"Infer{way}Tensor"]
        for side, way in (("Request", "Input"), ("Response", "Output"))
    )
    assert [*map(described, inputs.fields)] == [*map(described, outputs.fields)]


def test_a_message_of_theirs_is_read_by_ours() -> None:
    sent = service_pb2.ModelInferRequest(model_name="digits", id="7", raw_input_contents=[b"abc", b""])
    tensor = sent.inputs.add(name="image", datatype="UINT8", shape=[1, 2, 3, 3])
    tensor.parameters["flag"].bool_param = False
    tensor.parameters["count"].int64_param = -3
    tensor.contents.uint_contents.extend([0, 255])
    sent.outputs.add(name="logits").parameters["classification"].int64_param = 2
    read = CLASSES["ModelInferRequest"].FromString(sent.SerializeToString())
    assert (read.model_name, read.id, list(read.raw_input_contents)) == ("digits", "7", [b"abc", b""])
    assert list(read.inputs[0].shape) == [1, 2, 3, 3]
    assert {name: each.WhichOneof("parameter_choice") for name, each in read.inputs[0].parameters.items()} == {
        "flag": "bool_param",
        "count": "int64_param",
    }
    assert read.inputs[0].parameters["count"].int64_param == -3
    assert list(read.inputs[0].contents.uint_contents) == [0, 255]
    assert read.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)


def test_the_service_has_its_published_name() -> None:
    assert service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name == SERVICE
