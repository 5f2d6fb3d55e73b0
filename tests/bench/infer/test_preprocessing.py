"""The share of preprocessing, from profiles as onnxruntime writes them."""

from typing import Any

from vitrail.bench.infer.preprocessing import share_before


def node(name: str, kind: str, microseconds: int) -> dict[str, Any]:
    return {"name": f"{name}_kernel_time", "dur": microseconds, "args": {"op_name": kind}}


RUN = [
    node("a", "Cast", 1),
    node("b", "Resize", 2),
    node("c", "FusedConv", 7),
    node("d", "Add", 4),
    node("e", "Conv", 6),
]


def test_share_counts_nodes_before_the_first_convolution() -> None:
    assert share_before("Conv", RUN) == 3 / 20
    assert share_before("Conv", RUN * 5) == 3 / 20


def test_no_preprocessing_has_share_0() -> None:
    assert share_before("Conv", RUN[2:]) == 0
