"""report.html of a run: its numbers are those of predictions.npz and metrics.csv, recomputed here."""

import csv
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from vitrail.cli import main
from vitrail.data.source import Targets
from vitrail.tasks import TASKS
from vitrail.tasks.classification.report import classification_report
from vitrail.tasks.task import TaskName
from vitrail.training.report.mistakes import Mistake, Shown
from vitrail.training.report.page import page
from vitrail.training.report.run_files import RunFiles
from vitrail.training.report.tested import MATRIX, Tested

from ..study.report.reading import Reader, numbers

EMPTY = RunFiles({}, "", {})
NAMES = ('<b>&"', "dog", "cat")


@pytest.fixture(scope="module")
def tested_run(run_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tested") / "run"
    shutil.copytree(run_directory, copy)
    assert main(["test", "--ckpt_path", str(copy / "checkpoints/best.ckpt")]) == 0
    return copy


@pytest.fixture(scope="module")
def text(tested_run: Path) -> str:
    return (tested_run / "report.html").read_text()


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return Reader(text)


def predictions(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    saved = np.load(run / "predictions.npz")
    return saved["probabilities"], saved["labels"], saved["names"]


def classified(probabilities: np.ndarray, labels: np.ndarray, names: tuple[str, ...], *shown: Shown) -> Tested:
    images = Targets(labels, [f"{i}.png" for i in range(len(labels))])
    report = classification_report(torch.from_numpy(probabilities), torch.from_numpy(labels), names)
    return Tested(TASKS["classification"], names, probabilities, images, report, "my images", shown)


def test_the_page_needs_nothing_outside_it(text: str, reader: Reader) -> None:
    assert {link.partition(":")[0] for link in reader.links if not link.startswith("#")} <= {"data"}
    assert "script" not in reader.elements
    assert {link[1:] for link in reader.links if link.startswith("#")} == set(reader.identities)


def test_confusion_matrix_and_pairs(tested_run: Path, reader: Reader) -> None:
    probabilities, labels, _ = predictions(tested_run)
    expected = confusion_matrix(labels, probabilities.argmax(1), labels=range(10))
    rows = reader.tables["Rows are what images show, columns what the model says"][1:]
    assert [[int(cell or 0) for cell in row[1:]] for row in rows] == expected.tolist()
    pairs = reader.tables["Most often confused"][1:]
    assert all(expected[int(a), int(b)] == int(n) and a != b for a, b, n in pairs)
    wrong = np.sort((expected - np.diag(np.diag(expected))).ravel())[::-1]
    assert [int(row[2]) for row in pairs] == wrong[: len(pairs)].tolist()


def test_each_class(tested_run: Path, reader: Reader) -> None:
    probabilities, labels, _ = predictions(tested_run)
    expected = np.array(precision_recall_fscore_support(labels, probabilities.argmax(1), zero_division=0)).T
    rows = reader.tables["The worst first"][1:]
    assert len(rows) == 10
    for name, *cells in rows:
        assert [float(cell) for cell in cells] == pytest.approx(expected[int(name)], abs=5e-5)
    assert [float(row[3]) for row in rows] == sorted(float(row[3]) for row in rows)


def test_calibration(tested_run: Path, text: str, reader: Reader) -> None:
    probabilities, labels, _ = predictions(tested_run)
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    rows = [numbers(" ".join(row)) for row in reader.tables["Bins"][1:]]
    gaps = 0.0
    for low, high, count, mean, accuracy in rows:
        inside = (confidence >= low - 0.005) & (confidence < high + 0.005)
        assert count <= inside.sum()  # edges are rounded here
        gaps += count * abs(mean - accuracy)
    assert sum(row[2] for row in rows) == len(labels)
    edges = np.linspace(0, 1, 16)
    bins = [(confidence > a) & (confidence <= b) for a, b in pairwise(edges)]
    error = sum(abs(confidence[one].sum() - right[one].sum()) for one in bins) / len(labels)
    (shown,) = re.findall(r"Expected calibration error</dt><dd>([\d.]+)", text)
    assert float(shown) == pytest.approx(error, abs=5e-5)
    assert gaps / len(labels) == pytest.approx(error, abs=2e-4)


def test_mistakes_are_the_most_confident_ones(tested_run: Path, reader: Reader) -> None:
    probabilities, labels, names = predictions(tested_run)
    best = probabilities.argmax(1)
    wrong = [i for i in np.argsort(-probabilities.max(1), kind="stable") if best[i] != labels[i]][:24]
    assert wrong
    captions = [text for text in reader.texts["figcaption"] if text.startswith("is ")]
    assert captions == [f"is {labels[i]}, predicted {best[i]} {probabilities[i, best[i]]:.3f}{names[i]}" for i in wrong]
    assert reader.elements.count("img") == 2 * len(wrong)  # this CNN has exact evidence


def test_curves_and_throughput_are_those_of_metrics_csv(run_directory: Path) -> None:
    files = RunFiles.of(run_directory)
    with (run_directory / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("train_loss", "val_loss", "val_accuracy", "images_per_second"):
        assert [value for _, value in files.metrics[name]] == [float(row[name]) for row in rows if row[name]]
    assert files.metrics["val_accuracy"][-1][0] == files.metrics["images_per_second"][-1][0] == 100
    reader = Reader((run_directory / "report.html").read_text())
    assert {"Curves", "Throughput", "Settings", "Environment"} <= set(reader.texts["h2"])
    assert any(
        f"{np.median([v for _, v in files.metrics['images_per_second']]):,.0f}, the" in one
        for one in reader.texts["dd"]
    )


def test_names_of_classes_and_images_are_escaped() -> None:
    probabilities = np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    image = Image.new("RGB", (8, 8))
    shown = Shown(Mistake(0, 0, 1, 0.8), "<i>.png", image, None)
    made = page("<u>", EMPTY, classified(probabilities, np.array([0, 0, 2]), NAMES, shown))
    assert not any(raw in made for raw in ('<b>&"', "<i>.png", "<u>"))
    assert "is <b>&lt;b&gt;&amp;&quot;</b>, predicted <b>dog</b> 0.800" in made
    reader = Reader(made)
    assert reader.tables["Most often confused"][1:] == [[NAMES[0], "dog", "1"]]
    assert any("no exact evidence" in one for one in reader.texts["p"])


def test_many_classes_have_pairs_and_no_matrix() -> None:
    classes = MATRIX + 1
    labels = np.arange(classes)
    probabilities = np.eye(classes, dtype=np.float32)[np.roll(labels, 1)]
    made = page("run", EMPTY, classified(probabilities, labels, tuple(map(str, labels))))
    tables = Reader(made).tables
    assert "Most often confused" in tables
    assert not any(caption.startswith("Rows are") for caption in tables)


@pytest.mark.parametrize(
    ("task", "outputs", "targets", "titles"),
    [
        ("regression", np.array([[1.0], [2.5]]), np.array([[1.0], [2.0]]), ["Test images"]),
        ("multilabel", np.array([[0.9, 0.2]]), np.array([[1, 0]]), ["Test images", "In detail", "Calibration"]),
    ],
)
def test_other_tasks_have_only_what_applies(
    task: TaskName, outputs: np.ndarray, targets: np.ndarray, titles: list[str]
) -> None:
    names = ("a", "b")[: outputs.shape[1]]
    report = TASKS[task].evaluate(outputs, targets, names)
    tested = Tested(TASKS[task], names, outputs, Targets(targets, ["x"] * len(targets)), report, "set")
    reader = Reader(page("run", EMPTY, tested))
    assert reader.texts["h2"] == titles
    for name, value in report.metrics().items():
        if name != "test_accuracy":
            assert any(one.startswith(f"{value:.4g} [") for one in reader.texts["dd"]), name


def test_values_that_are_not_finite_are_left_out_of_curves(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch,train_loss\n0,0,nan\n1,0,2.5\n2,0,inf\n")
    assert RunFiles.of(tmp_path).metrics == {"train_loss": ((2, 2.5),)}
