"""The messages of the Open Inference Protocol over gRPC, by the field numbers of its published definition."""

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# Each field as NUMBER NAME TYPE: T* is repeated, T{} a map from strings, and T? one of a choice.
MODEL = "1 name string, 2 version string"
MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": MODEL,
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions string*",
    "ModelMetadataRequest": MODEL,
    "TensorMetadata": "1 name string, 2 datatype string, 3 shape int64*",
    "ModelMetadataResponse": "1 name string, 2 versions string*, 3 platform string, 4 inputs TensorMetadata*, "
    "5 outputs TensorMetadata*",
    "InferParameter": "1 bool_param bool?, 2 int64_param int64?, 3 string_param string?, 4 double_param double?, "
    "5 uint64_param uint64?",
    "InferTensorContents": "1 bool_contents bool*, 2 int_contents int32*, 3 int64_contents int64*, "
    "4 uint_contents uint32*, 5 uint64_contents uint64*, 6 fp32_contents float*, 7 fp64_contents double*, "
    "8 bytes_contents bytes*",
    "InferTensor": "1 name string, 2 datatype string, 3 shape int64*, 4 parameters InferParameter{}, "
    "5 contents InferTensorContents",
    "InferRequestedOutputTensor": "1 name string, 2 parameters InferParameter{}",
    "ModelInferRequest": "1 model_name string, 2 model_version string, 3 id string, 4 parameters InferParameter{}, "
    "5 inputs InferTensor*, 6 outputs InferRequestedOutputTensor*, 7 raw_input_contents bytes*",
    "ModelInferResponse": "1 model_name string, 2 model_version string, 3 id string, 4 parameters InferParameter{}, "
    "5 outputs InferTensor*, 6 raw_output_contents bytes*",
}


def definition() -> FileDescriptorProto:
    file = FileDescriptorProto(name="vitrail/inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            add_field(message, *field.split())
    return file


def add_field(message: DescriptorProto, number: str, name: str, kind: str) -> None:
    repeated = (
        FieldDescriptorProto.LABEL_REPEATED if kind.endswith(("*", "{}")) else FieldDescriptorProto.LABEL_OPTIONAL
    )
    field = message.field.add(name=name, number=int(number), label=repeated)
    of = kind.rstrip("*{}?")
    if kind.endswith("{}"):
        of = map_entry(message, name, of)
    if kind.endswith("?"):
        field.oneof_index = choice(message)
    if of in MESSAGES or "." in of:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{PACKAGE}.{of}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{of.upper()}")


def map_entry(message: DescriptorProto, name: str, of: str) -> str:
    """The message of an entry of a map, as protobuf defines it; returns its name."""
    entry = message.nested_type.add(name=f"{name.title()}Entry")
    entry.options.map_entry = True
    add_field(entry, "1", "key", "string")
    add_field(entry, "2", "value", of)
    return f"{message.name}.{entry.name}"


def choice(message: DescriptorProto) -> int:
    if not message.oneof_decl:
        message.oneof_decl.add(name="parameter_choice")
    return 0


def classes() -> dict[str, Any]:
    """Their Python classes, in a pool of their own: clients in this process may have registered the same names."""
    pool = DescriptorPool()
    pool.Add(definition())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


CLASSES = classes()
