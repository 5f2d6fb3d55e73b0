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

from vitrail.card import METADATA_KEY, Calibration, Card, Dataset, Golden
from vitrail.classifier import Classifier
from vitrail.data import Pictures, Source, open_source
from vitrail.data.subsets import nested_subset
from vitrail.errors import DataError, ParityError
from vitrail.export.calibration import calibration_error, fit_temperature
from vitrail.export.explain import explain, write_explanation
from vitrail.export.graph import Graph, to_onnx
from vitrail.export.proof import BOUND, all_by_network, by_network, prove
from vitrail.export.whole import compare_whole
from vitrail.golden import RECIPE, golden_pictures
from vitrail.intervals import wilson
from vitrail.models.checkpoint import Origin, read_checkpoint

PACKAGES = ("vitrail", "torch", "timm", "onnx", "onnxscript", "numpy", "pillow")
TOLERANCE = {"CPUExecutionProvider": BOUND, "CUDAExecutionProvider": 10 * BOUND}


def export(checkpoint: str | Path, output: str | Path, data_path: str | None = None, explained: bool = False) -> Card:
    """Write `output`, proved on the test pictures of the checkpoint's own source, or of `data_path`.

    With `explained`, a second file beside it: see `vitrail.export.explain`.
    """
    network, origin = read_checkpoint(checkpoint)
    source = source_of(origin, data_path)
    val, test = validation_pictures(origin, source), source.read("test", origin.input)
    plain = Graph(network, origin.input, temperature=1.0).eval()
    temperature = fit_temperature(all_by_network(plain, val.images), val.labels)
    graph = Graph(network, origin.input, temperature).eval()
    model = to_onnx(graph)
    proof = prove(graph, model, test.images)
    explanation = explain(graph, model, test.images) if explained else None
    card = Card(
        classes=origin.classes,
        input=origin.input,
        architecture=origin.architecture.to_plain(),
        parameters=sum(weights.numel() for weights in network.parameters()),
        flops=count_flops(network, origin.input.size),
        dataset=dataset_of(origin, len(test)),
        seed=origin.seed,
        test_accuracy=wilson(int((proof.logits.argmax(1) == test.labels).sum()), len(test)),
        parity=proof.parity,
        whole=compare_whole(source, model, test.images),
        calibration=Calibration(
            temperature=temperature,
            pictures=len(val),
            error_before=calibration_error(proof.logits, test.labels, 1.0),
            error_after=calibration_error(proof.logits, test.labels, temperature),
        ),
        golden=golden_answers(graph),
        versions={"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_file(Path(output), model, card)
    if explanation is not None:
        write_explanation(explanation, Path(output))
    return card


def source_of(origin: Origin, data_path: str | None) -> Source:
    """Where the checkpoint's pictures are; another set of classes is refused."""
    source = open_source(data_path or origin.learnt.path, origin.learnt.seed)
    if source.classes != origin.classes:
        raise DataError(
            f"{source.name} has other classes than the checkpoint: give --data.path, where its pictures are"
        )
    return source


def dataset_of(origin: Origin, test: int) -> Dataset:
    learnt = origin.learnt
    return Dataset(learnt.name, learnt.fingerprint, learnt.train, learnt.val, test, learnt.seed)


def validation_pictures(origin: Origin, source: Source) -> Pictures:
    """Those that the run used, and no others: a temperature may not learn from more pictures than the network."""
    labels = source.labels("val")
    chosen = nested_subset(labels, min(origin.learnt.val, len(labels)), origin.learnt.seed)
    return source.read("val", origin.input, chosen)


def golden_answers(graph: Graph) -> Golden:
    logits = [by_network(graph, picture[None])[0] for picture in golden_pictures(graph.input.rule.size)]
    return Golden(RECIPE, tuple(tuple(float(number) for number in row) for row in logits), TOLERANCE)


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
