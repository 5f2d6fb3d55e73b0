"""Model files of every task: the network's outputs, a card with the measured values, and the commands."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from vitrail.cli import main
from vitrail.data import DigitScenes
from vitrail.errors import UsageError
from vitrail.exporting.graph import Graph, to_onnx
from vitrail.exporting.parity import by_file, by_network, cpu_session
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import check_golden
from vitrail.model_file.model import load
from vitrail.models import CNN, Architecture, ViT
from vitrail.tasks import TASKS
from vitrail.tasks.dense.predictions import cell_classes
from vitrail.tasks.dense_regression.predictions import cell_values
from vitrail.tasks.detection.predictions import are_exact
from vitrail.tasks.task import ProbabilityTask, TaskName

from ..builtin_sets import EVERY_TASK, set_of

SMALL: dict[str, Any] = {"patch": 4, "width": 16, "depth": 1, "heads": 2}
CNN_SMALL = CNN(width=4, stages=2, blocks=1)
NETWORKS: list[tuple[Architecture, TaskName]] = [
    (ViT(**SMALL, head="set"), "multilabel"),
    (ViT(**SMALL, head="set", attention={"name": "window", "reach": 1}), "multilabel"),
    (ViT(**SMALL, pool="attentive"), "multilabel"),
    (CNN_SMALL, "multilabel"),
    (ViT(**SMALL), "regression"),
    (CNN_SMALL, "regression"),
    (ViT(**SMALL), "dense"),
    (CNN_SMALL, "dense"),
    (CNN(name="resnet10t"), "dense"),
    (ViT(**SMALL), "dense-regression"),
    (CNN_SMALL, "dense-regression"),
    (ViT(**SMALL, head={"name": "autoregressive", "length": 4}), "sequence"),
    (ViT(**SMALL, head="parallel"), "sequence"),
    (ViT(**SMALL, head="boxes"), "detection"),
]
ALWAYS = (5, 6, 9, 13)  # a task each; `exported` below is of the set head


@pytest.mark.parametrize(
    ("architecture", "task"),
    [pytest.param(*each, marks=() if number in ALWAYS else pytest.mark.long) for number, each in enumerate(NETWORKS)],
    ids=lambda value: str(value)[:60],
)
def test_the_file_gives_the_networks_outputs_in_every_batch(architecture: Architecture, task: TaskName) -> None:
    torch.manual_seed(0)
    size = 32
    graph = Graph(architecture.build(5, size, task), InputRule(size), 1.5, task).eval()
    content = to_onnx(graph)
    session = cpu_session(content)
    assert [output.name for output in session.get_outputs()] == list(TASKS[task].outputs)
    images = np.random.default_rng(0).integers(0, 256, (8, 40, 36, 3), np.uint8)
    canvases = images[:, :size, :size]
    for batch in (canvases[:1], canvases[:3], canvases, images[:3]):
        np.testing.assert_allclose(by_file(session, batch), by_network(graph, batch), atol=1e-5)
    assert by_file(session, canvases).std(axis=0).max() > 1e-3  # images do differ
    if isinstance(TASKS[task], ProbabilityTask):
        probabilities, logits, _ = session.run(None, {"image": canvases})
        task_definition: Any = TASKS[task]
        np.testing.assert_allclose(probabilities, task_definition.probabilities(logits / 1.5), atol=1e-6)


@pytest.fixture(scope="module", params=EVERY_TASK)
def exported(request: pytest.FixtureRequest, task_folder: Callable[[str], Path]) -> tuple[TaskName, Path]:
    """A briefly trained network, as a model file."""
    return request.param, task_folder(request.param) / "model.onnx"


def scenes(task: TaskName) -> Any:
    return set_of(task).read("test", InputRule(28 if task == "sequence" else 24), np.arange(1000))


def test_the_card_has_the_measured_values(exported: tuple[TaskName, Path]) -> None:
    task, path = exported
    model, images = Classifier(path, "cpu"), scenes(task)
    card, outputs = model.card, model.predict(images.images)
    assert (card.task, card.classes) == (task, set_of(task).classes)
    if task == "multilabel":
        correct = ((outputs.probabilities > 0.5) == images.labels).all(axis=1)
        assert card.test_accuracy is not None
        assert (card.test_accuracy.hits, card.test_accuracy.total) == (correct.sum(), 1000)
        assert [measure.name for measure in card.measures] == ["micro-F1", "macro-F1"]
    elif task == "dense":
        targets = cell_classes(images.labels, outputs.logits.shape[1:3], 11)
        assert card.test_accuracy is not None
        assert card.test_accuracy.hits == (outputs.logits.argmax(-1) == targets).sum()
        assert card.test_accuracy.total == (targets != 255).sum()
        assert outputs.probabilities.shape == (1000, 6, 6, 11)
    elif task == "dense-regression":
        errors = np.abs(outputs.values - cell_values(images.labels, (6, 6))).mean(axis=(0, 1, 2))
        assert [measure.value for measure in card.measures[::3]] == pytest.approx(errors.tolist(), rel=1e-4)
        assert (card.test_accuracy, card.calibration, len(card.units)) == (None, None, 2)
        assert outputs.values.shape == (1000, 6, 6, 2)
    elif task == "sequence":
        exact = (TASKS[task].decisions(outputs.logits) == images.labels).all(axis=1)
        assert card.test_accuracy is not None
        assert (card.test_accuracy.hits, card.test_accuracy.total) == (exact.sum(), 1000)
        assert outputs.probabilities.shape == (1000, 3, 11)
    elif task == "detection":
        detections = outputs.of("detections")
        exact = are_exact(TASKS[task].decisions(detections), detections[..., :4], images.labels)
        assert card.test_accuracy is not None
        assert (card.test_accuracy.hits, card.test_accuracy.total) == (exact.sum(), 1000)
        assert ([measure.name for measure in card.measures], card.calibration) == (["AP50"], None)
        assert detections.shape == (1000, 8, 15)
    else:
        errors = np.abs(outputs.values - images.labels).mean(axis=0)
        assert [measure.value for measure in card.measures[::3]] == pytest.approx(errors.tolist(), rel=1e-4)
        assert (card.test_accuracy, card.calibration) == (None, None)
        train = DigitScenes("regression").labels("train")
        assert len(card.units) == 2
        assert len(train) > card.dataset.train
    assert card.abstention is None
    assert card.whole is not None
    assert card.whole.flips == 0
    assert outputs.embedding.shape == (1000, 64)


def test_the_temperature_makes_validation_images_more_probable(exported: tuple[TaskName, Path]) -> None:
    task, path = exported
    calibration = Classifier(path, "cpu").card.calibration
    if not isinstance(TASKS[task], ProbabilityTask):
        assert calibration is None
        return
    assert calibration is not None
    assert 0.05 < calibration.temperature < 20
    near = 0.07 if task == "sequence" else 0.05  # of a sequence, a few places an image are counted
    assert calibration.error_after < max(near, calibration.error_before)


def test_golden_outputs_are_checked_part_by_part(
    exported: tuple[TaskName, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    task, path = exported
    assert main(["verify", str(path), "--provider", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert f"{TASKS[task].raw} of canvases" in printed
    assert ("probabilities" in printed) is isinstance(TASKS[task], ProbabilityTask)
    model = Classifier(path, "cpu")
    weights = onnx.load(path)
    largest = max((one for one in weights.graph.initializer if one.data_type == 1), key=lambda one: len(one.raw_data))
    changed = onnx.numpy_helper.to_array(largest) * np.float32(1.05)
    largest.CopyFrom(onnx.numpy_helper.from_array(changed, largest.name))
    model.session = cpu_session(weights.SerializeToString())
    assert not check_golden(model).passed


def test_classify_prints_text_and_json(
    exported: tuple[TaskName, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, path = exported
    image = tmp_path / "scene.png"
    Image.fromarray(set_of(task).whole("test", 3)).save(image)
    model = Classifier(path, "cpu")
    row = model.predict(model.fit(image.read_bytes())[None]).row(0)
    assert main(["classify", str(path), str(image), "--json", "--provider", "cpu"]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert main(["classify", str(path), str(image), "--provider", "cpu"]) == 0
    text = capsys.readouterr().out.removeprefix(f"{image}: ").strip()
    if task == "multilabel":
        assert [label["index"] for label in payload["labels"]] == np.argsort(-row["probabilities"]).tolist()
        assert text.startswith(f"{payload['labels'][0]['label']} {row['probabilities'].max():.3f}, ")
    elif task == "regression":
        assert payload["values"] == [
            {"name": name, "value": pytest.approx(float(value))}
            for name, value in zip(("digits", "sum"), row["values"], strict=True)
        ]
        assert text == ", ".join(f"{one['name']} {one['value']:.4g}" for one in payload["values"])
    elif task == "dense-regression":
        maps = {one["name"]: np.array(one["values"]) for one in payload["maps"]}
        np.testing.assert_allclose(np.stack([maps["digits"], maps["sum"]], axis=-1), row["values"], rtol=1e-5)
        assert text.startswith(f"digits {maps['digits'].mean():.4g} (")
        with load(path, "cpu") as loaded:
            prediction = loaded.classify(image)
        assert [np.array(prediction.value_maps[name]).tolist() for name in maps] == [
            one.tolist() for one in maps.values()
        ]
    elif task == "sequence":
        labels = [int(label) for label in TASKS[task].decisions(row["probabilities"][None])[0] if label >= 0]
        assert [label["index"] for label in payload["sequence"]] == labels
        assert text == " ".join(map(str, labels))
        with load(path, "cpu") as loaded:
            prediction = loaded.classify(image)
        assert [label.index for label in prediction.sequence] == labels
        assert prediction.probability == payload["probability"]
    elif task == "detection":
        classes = [int(label) for label in TASKS[task].decisions(row["detections"][None])[0] if label >= 0]
        assert sorted(box["index"] for box in payload["boxes"]) == sorted(classes)
        with load(path, "cpu") as loaded:
            boxes = loaded.classify(image).boxes
        assert [(box.label, list(box.box)) for box in boxes] == [(box["label"], box["box"]) for box in payload["boxes"]]
    else:
        best = row["probabilities"].argmax(-1)
        assert payload["grid"]["labels"] == [[model.card.classes[i] for i in across] for across in best]
        np.testing.assert_allclose(payload["grid"]["probabilities"], row["probabilities"].max(-1), atol=1e-6)
        assert "nothing" in text
    refused = ["--abstain"] if task == "multilabel" else ["--top-k", "2"]
    assert main(["classify", str(path), str(image), *refused]) == 2
    assert f"this model's task is {task}" in capsys.readouterr().err


def test_inspect_prints_the_card_of_every_task(
    exported: tuple[TaskName, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    task, path = exported
    assert main(["inspect", str(path)]) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["task"].strip() == task
    assert ("calibration" in lines) is isinstance(TASKS[task], ProbabilityTask)


@pytest.mark.parametrize("options", [["--precision", "int8"], ["--precision", "auto"]])
def test_lower_precisions_are_for_classification(
    options: list[str], exported: tuple[TaskName, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, path = exported
    checkpoint = path.parent / "run/checkpoints/best.ckpt"
    assert main(["export", f"--checkpoint={checkpoint}", f"--output={tmp_path / 'model.onnx'}", *options]) == 2
    assert f"this model's task is {task}: leave it out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("exported", ["multilabel"], indirect=True)
def test_labels_are_explained(exported: tuple[TaskName, Path], tmp_path: Path) -> None:
    _, path = exported
    checkpoint, output = path.parent / "run/checkpoints/best.ckpt", tmp_path / "model.onnx"
    assert main(["export", f"--checkpoint={checkpoint}", f"--output={output}", "--explain"]) == 0
    assert (tmp_path / "model.explain.onnx").is_file()


@pytest.mark.parametrize(
    "exported",
    ["dense", *(pytest.param(task, marks=pytest.mark.long) for task in ("regression", "dense-regression", "sequence"))],
    indirect=True,
)
def test_tasks_without_labels_of_an_image_are_not_explained(
    exported: tuple[TaskName, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, path = exported
    checkpoint, output = path.parent / "run/checkpoints/best.ckpt", tmp_path / "model.onnx"
    assert main(["export", f"--checkpoint={checkpoint}", f"--output={output}", "--explain"]) == 2
    assert f"--explain needs labels of an image; this model's task is {task}: leave it out" in capsys.readouterr().err


def test_data_of_another_task_are_refused(exported: tuple[TaskName, Path], capsys: pytest.CaptureFixture[str]) -> None:
    task, path = exported
    checkpoint = path.parent / "run/checkpoints/best.ckpt"
    assert main(["export", f"--checkpoint={checkpoint}", "--data.path=digits"]) == 1
    assert f"digits is a classification set, the checkpoint is for {task}: give --data.path" in capsys.readouterr().err


def test_a_classifier_has_the_outputs_of_its_task(exported: tuple[TaskName, Path]) -> None:
    task, path = exported
    model, file = Classifier(path, "cpu"), BytesIO()
    Image.fromarray(set_of(task).whole("test", 0)).save(file, "PNG")
    if task == "multilabel":
        assert len(model.classify(file.getvalue(), 3)) == 3
        return
    with pytest.raises(UsageError, match=f"this model's task is {task}, without labels"):
        model.classify(file.getvalue())
    with pytest.raises(UsageError, match=r"this model has the outputs .*, and no "):
        _ = getattr(
            model.predict(scenes(task).images[:1]), "logits" if task in ("regression", "dense-regression") else "values"
        )
