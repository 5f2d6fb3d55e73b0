"""The whole export: checkpoint and test pictures in, a proved model.onnx with its card out, or nothing."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vitrail.card import METADATA_KEY, Card, Dataset, Golden
from vitrail.classifier import Classifier
from vitrail.data import Pictures, open_source
from vitrail.errors import DataError, ParityError
from vitrail.export.graph import Graph, to_onnx
from vitrail.export.proof import BOUND, Proof, by_network, prove
from vitrail.golden import RECIPE, golden_pictures
from vitrail.intervals import wilson
from vitrail.models.checkpoint import Origin, read_checkpoint

PACKAGES = ("vitrail", "torch", "timm", "onnx", "onnxscript", "numpy", "pillow")
TOLERANCE = {"CPUExecutionProvider": BOUND, "CUDAExecutionProvider": 10 * BOUND}


def export(checkpoint: str | Path, output: str | Path, data_path: str | None = None) -> Card:
    """Write `output`, proved on the test pictures of the checkpoint's own source, or of `data_path`."""
    network, origin = read_checkpoint(checkpoint)
    pictures = test_pictures(origin, data_path)
    graph = Graph(network, origin.input, temperature=1.0).eval()
    model = to_onnx(graph)
    proof = prove(graph, model, pictures.images)
    card = write_card(graph, origin, pictures, proof)
    write_file(Path(output), model, card)
    return card


def test_pictures(origin: Origin, data_path: str | None) -> Pictures:
    """The test part of the pictures that the checkpoint learnt from."""
    source = open_source(data_path or origin.learnt.path, origin.learnt.seed)
    if source.classes != origin.classes:
        raise DataError(
            f"{source.name} has other classes than the checkpoint: give --data.path, where its pictures are"
        )
    return source.read("test", origin.input)


def write_card(graph: Graph, origin: Origin, pictures: Pictures, proof: Proof) -> Card:
    learnt = origin.learnt
    hits = int((proof.logits.argmax(1) == pictures.labels).sum())
    golden = [by_network(graph, picture[None])[0] for picture in golden_pictures(origin.input.size)]
    return Card(
        classes=origin.classes,
        input=origin.input,
        architecture=origin.architecture.to_plain(),
        parameters=sum(weights.numel() for weights in graph.network.parameters()),
        flops=count_flops(graph.network, origin.input.size),
        dataset=Dataset(learnt.name, learnt.fingerprint, learnt.train, learnt.val, len(pictures), learnt.seed),
        seed=origin.seed,
        test_accuracy=wilson(hits, len(pictures)),
        parity=proof.parity,
        golden=Golden(RECIPE, tuple(tuple(float(number) for number in row) for row in golden), TOLERANCE),
        versions={"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def count_flops(network: nn.Module, size: int) -> int:
    """Floating-point operations for one picture, a multiplication and an addition counted as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops())


def write_file(output: Path, model: bytes, card: Card) -> None:
    """Put the card into the file, check the whole once more as a user would, and only then let it be there."""
    content = onnx.load_from_string(model)
    onnx.helper.set_model_props(content, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(content, full_check=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        onnx.save(content, draft)
        check = Classifier(draft, "cpu").check_golden()
        if not check.passed:
            raise ParityError(f"the file answers golden picture {check.picture} wrongly, off by {check.worst:.2e}")
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
