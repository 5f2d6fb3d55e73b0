"""The whole export: checkpoint and test images in, a verified model.onnx with its card out, or nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from vitrail.atomic import draft_of
from vitrail.data import Samples, Source, open_source
from vitrail.data.source import PARTS
from vitrail.errors import DataError, ModelError, ParityError, UsageError
from vitrail.exporting.abstention import evaluate_threshold, fit_threshold
from vitrail.exporting.calibration import calibration_error, fit_temperature
from vitrail.exporting.explain_file import explain, write_explanation
from vitrail.exporting.graph import OPSET, Graph, Opset, graph_of, set_temperature, to_onnx
from vitrail.exporting.openvino import compare_in_openvino
from vitrail.exporting.parity import BOUND, all_by_file, cpu_session, prove
from vitrail.exporting.precision import Candidate, Choice, Scales, choose
from vitrail.exporting.whole_images import compare_whole_images
from vitrail.images.golden import RECIPE, golden_images
from vitrail.images.patches import inputs_of
from vitrail.model_file.card import METADATA_KEY, Abstention, Calibration, Card, Dataset, Golden, PrecisionKind
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import check_golden
from vitrail.model_file.seal import seal
from vitrail.models.checkpoint import Origin, RunData, read_checkpoint
from vitrail.models.network import count_flops, count_parameters
from vitrail.runtime.machine import installed_versions
from vitrail.tasks import TASKS, Task
from vitrail.tasks.task import ProbabilityTask, TaskName

PACKAGES = ("vitrail", "torch", "timm", "onnx", "onnxscript", "numpy", "pillow")
# Of golden logits, times their deviation where that is above 1: what other processors' rounding may add up to.
BF16 = 0.1  # 8 bits of mantissa through a dozen blocks
TF32 = 0.02  # 11 bits
TOLERANCE: dict[PrecisionKind, dict[str, float]] = {
    "fp32": {
        "CPUExecutionProvider": BOUND,
        "CUDAExecutionProvider": 10 * BOUND,
        "CUDAExecutionProvider TF32": TF32,
        "TensorrtExecutionProvider": 10 * BOUND,
        "OpenVINO": BOUND,
        "OpenVINO bf16": BF16,
    },
    "fp16": {
        **dict.fromkeys(
            ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider", "OpenVINO"), 0.02
        ),
        "OpenVINO bf16": BF16,
    },
    # The last digit of a float can change the integer that it is rounded to.
    **dict.fromkeys(
        ("int8", "int8-dynamic"),
        dict.fromkeys(("CPUExecutionProvider", "CUDAExecutionProvider", "OpenVINO", "OpenVINO bf16"), 0.1),
    ),
}
UNFITTED = 2.0  # a temperature other than 1, which an optimiser would remove from the graph
LARGEST = 2**31 - 2**24  # bytes of a protobuf message, less some room for all that is no weight


def export(
    checkpoint: str | Path,
    output: str | Path,
    data_path: str | None = None,
    precision: Choice = "fp32",
    max_loss: float = 0.5,
    opset: Opset = OPSET,
    with_explanation: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> Card:
    """Turn a checkpoint into one verified ONNX file, like `vitrail export`, and return its card.

    The file's outputs are compared with the network's on the test images; if they differ, nothing is written.

    Args:
        checkpoint: a file that `vitrail fit` wrote.
        output: the file to write.
        data_path: where the images are, if they have moved since training.
        precision: fp32, fp16, int8 or int8-dynamic; auto keeps the fastest that loses no more than `max_loss`.
        max_loss: points of test accuracy that a lower precision may lose.
        opset: of ONNX; 20 for onnxruntime before 1.23.
        with_explanation: also write evidence and attention, into `model.explain.onnx` beside `model.onnx`.
        progress: is called with each stage of the work, such as "reading images".

    Examples:
        >>> card = vitrail.export("best.ckpt", "model.onnx", with_explanation=True)
        >>> card.parity.flips
        0
    """
    network, origin = read_checkpoint(checkpoint)
    origin.refuse_without_classes(checkpoint)
    task = TASKS[origin.task]
    refuse_too_large(network)
    refuse_for_task(origin.task, precision, with_explanation)
    if with_explanation and origin.input.is_native:
        raise UsageError("--explain is for squares, and this model's images keep their shapes: leave it out")
    source = source_of(origin, data_path)
    progress("reading images")
    val, test, tested = images_of_run(origin, source, data_path)
    progress("writing the graph")
    model = to_onnx(graph_of(network, origin.input, UNFITTED, origin.task), opset)
    val_logits = all_by_file(cpu_session(model), val.images)
    temperature = fit_temperature(val_logits, val.labels, task) if isinstance(task, ProbabilityTask) else None
    if temperature is not None:
        model = set_temperature(model, temperature)
    graph = graph_of(network, origin.input, temperature or UNFITTED, origin.task)
    progress(f"verifying it on {len(test):,} test images")
    full = Candidate("fp32", model, prove(graph, model, test.images))
    explanation = explain(graph, model, test.images, opset) if with_explanation else None
    chosen, compared = choose(precision, Scales(full, graph, val.images, test, max_loss / 100), progress)
    logits = chosen.proof.logits
    predictions = predictions_of(task, logits, temperature)
    measured = task.evaluate(predictions, test.labels, origin.classes)
    card = Card(
        classes=origin.classes,
        input=origin.input,
        architecture=origin.architecture.to_plain(),
        parameters=count_parameters(network),
        flops=count_flops(network, origin.input),
        dataset=dataset_of(origin.run_data),
        seed=origin.seed,
        test_accuracy=measured.accuracy,
        parity=chosen.proof.parity,
        whole=None
        if origin.input.is_native
        else compare_whole_images(source, tested, chosen.model, predictions, task, graph.units),
        calibration=calibration_of(task, temperature, len(val), logits, test.labels),
        abstention=abstention_of(origin.task, temperature, val_logits, val.labels, logits, test.labels),
        precision=chosen.kind,
        precisions=compared,
        averaged_weights=origin.averaged,
        golden=golden_outputs(chosen, graph),
        versions=installed_versions(PACKAGES),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=origin.task,
        measures=measured.others,
        units=tuple(float(unit) for unit in graph.units) if task.has_units else (),
        openvino=compare_in_openvino(chosen.model, origin.input.size, test, progress)
        if task.single_label and not origin.input.is_native
        else None,
    )
    write_file(Path(output), chosen.model, card)
    if explanation is not None:
        write_explanation(explanation, Path(output))
    return card


def refuse_for_task(task: TaskName, precision: Choice, with_explanation: bool) -> None:
    """Refuse options that the task does not support, before any work."""
    if precision != "fp32" and not TASKS[task].single_label:
        raise UsageError(f"--precision {precision} needs one label an image; this model's task is {task}: leave it out")
    if with_explanation and not TASKS[task].ranks:
        raise UsageError(f"--explain needs labels of an image; this model's task is {task}: leave it out")


def predictions_of(task: Task, raw: NDArray[np.float32], temperature: float | None) -> NDArray[Any]:
    """The file's first output."""
    if isinstance(task, ProbabilityTask) and temperature is not None:
        return task.probabilities(raw.astype(float) / temperature)
    return raw


def calibration_of(
    task: Task, temperature: float | None, images: int, logits: NDArray[np.float32], targets: NDArray[Any]
) -> Calibration | None:
    """The effect of the temperature on test images, where there are probabilities."""
    if not isinstance(task, ProbabilityTask) or temperature is None:
        return None
    before, after = (calibration_error(logits, targets, one, task) for one in (1.0, temperature))
    return Calibration(temperature, images, before, after)


def abstention_of(
    task: TaskName,
    temperature: float | None,
    val_logits: NDArray[np.float32],
    val_labels: NDArray[Any],
    logits: NDArray[np.float32],
    labels: NDArray[Any],
) -> Abstention | None:
    """Only for one label an image."""
    if not TASKS[task].single_label or temperature is None:
        return None
    return evaluate_threshold(fit_threshold(val_logits, val_labels, temperature), logits, labels, temperature)


def source_of(origin: Origin, data_path: str | None) -> Source:
    """Where the checkpoint's images are; another set of classes is refused."""
    source = open_source(data_path or origin.run_data.selection.path, origin.run_data.selection.seed)
    if source.task != origin.task:
        raise DataError(f"{source.name} is a {source.task} set, the checkpoint is for {origin.task}: give --data.path")
    if source.classes != origin.classes:
        raise DataError(f"{source.name} has other classes than the checkpoint: give --data.path, where its images are")
    return source


def images_of_run(origin: Origin, source: Source, data_path: str | None) -> tuple[Samples, Samples, NDArray[np.int64]]:
    """The validation and test images that the run recorded, and the latter's indices; any others are refused."""
    record = origin.run_data
    selection = replace(record.selection, path=data_path or record.selection.path)
    record.refuse_contradiction(source, selection, ("val", "test"))
    chosen = selection.chosen(source)
    tested = chosen.get("test", np.arange(len(source.labels("test"))))
    return source.read("val", origin.input, chosen.get("val")), source.read("test", origin.input, tested), tested


def dataset_of(run_data: RunData) -> Dataset:
    train, val, test = (run_data.count(part) for part in PARTS)
    chosen = run_data.selection
    return Dataset(run_data.name, run_data.fingerprint, train, val, test, chosen.seed, chosen.images, chosen.draw)


def golden_outputs(chosen: Candidate, graph: Graph) -> Golden:
    """Outputs of the network; of a reduced file those of the file, which differ from the network's."""
    rule, outputs = graph.input.rule, [graph.task.raw, "embedding"]
    images = [image[None] for image in golden_images(rule)]
    if chosen.kind == "fp32":
        predictions = [[graph.run(image)[name] for name in outputs] for image in images]
    else:
        session = cpu_session(chosen.model)
        predictions = [session.run(outputs, inputs_of(image, rule.patch)) for image in images]
    raw = graph.task.golden(np.concatenate([row for row, _ in predictions]))
    logits = tuple(tuple(float(number) for number in row) for row in raw)
    lengths = tuple(float(np.linalg.norm(embedding)) for _, embedding in predictions)
    return Golden(RECIPE, logits, lengths, TOLERANCE[chosen.kind])


def refuse_too_large(network: nn.Module) -> None:
    """One protobuf message, and so one ONNX file, holds 2 GB."""
    weight = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if weight > LARGEST:
        raise ModelError(
            f"the network's weights take {weight / 1e9:.1f} GB, and one ONNX file holds 2 GB: choose a smaller network"
        )


def write_file(output: Path, model: bytes, card: Card) -> None:
    """Put the card into the file and seal it, check it as a user would load it, then move it into place."""
    content = onnx.load_from_string(model)
    onnx.helper.set_model_props(content, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(content, full_check=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(output) as draft:
        draft.write_bytes(seal(content.SerializeToString()))
        check = check_golden(Classifier(draft, "cpu"))
        if not check.passed:
            raise ParityError(f"the file fails the golden check: {check.differences}")
