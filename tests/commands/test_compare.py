"""vitrail compare: results of real and made-up predictions, the sentence that follows, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from vitrail.cli import main
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName

LABELS = np.arange(40) % 2


def write(path: Path, right: int, **changed: Any) -> str:
    """Predictions of two classes for 40 images, the first `right` of them right."""
    best = np.where(np.arange(40) < right, LABELS, 1 - LABELS)
    arrays = {
        "probabilities": np.eye(2, dtype=np.float32)[best],
        "labels": LABELS,
        "names": np.array([f"{i:02}.png" for i in range(40)]),
        "task": np.array("classification"),
        "classes": np.array(["cat", "dog"]),
        "contents": np.arange(40) * 7919,
        **changed,
    }
    path.mkdir()
    np.savez(path / "predictions.npz", **{name: one for name, one in arrays.items() if one is not None})
    return str(path)


def compared(capsys: pytest.CaptureFixture[str], *runs: str) -> dict[str, Any]:
    assert main(["compare", "--json", *runs]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_is_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a", 36), write(tmp_path / "b", 26)
    found = compared(capsys, a, b)
    assert [one["value"] for one in found["runs"]] == [0.9, 0.65]
    (pair,) = found["pairs"]
    assert pair["difference"]["value"] == pytest.approx(0.25)
    assert pair["p"] == pair["p_corrected"] == pytest.approx(binomtest(10, 10).pvalue)
    assert pair["better"] == a
    assert main(["compare", a, b]) == 0
    assert capsys.readouterr().out.endswith(f"{a} is better than {b}.\n")


def test_neither_is_clearly_ahead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a", 30), write(tmp_path / "b", 32)
    (pair,) = compared(capsys, a, b)["pairs"]
    assert pair["better"] is None
    assert pair["images_needed"] > 40
    assert f"neither of {b} and {a} is clearly ahead" in pair["verdict"]
    assert f"with about {pair['images_needed']} test images" in pair["verdict"]


def test_several_runs_are_corrected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write(tmp_path / name, right) for name, right in (("a", 36), ("b", 29), ("c", 36))]
    pairs = compared(capsys, *runs)["pairs"]
    p = binomtest(7, 7).pvalue  # of a and b, and of c and b
    assert [one["p"] for one in pairs] == pytest.approx([p, 1.0, p])
    assert [one["p_corrected"] for one in pairs] == pytest.approx([3 * p, 1.0, 3 * p])
    assert pairs[1]["verdict"].endswith("have the same result on these images")
    assert main(["compare", *runs]) == 0
    assert "p, corrected" in capsys.readouterr().out


def test_images_are_paired_by_content_whatever_their_order_and_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, order = write(tmp_path / "a", 36), np.random.default_rng(0).permutation(40)
    with np.load(tmp_path / "a/predictions.npz") as file:
        shuffled = {
            name: one[order] if name in ("probabilities", "labels", "contents") else one for name, one in file.items()
        }
    b = write(tmp_path / "b", 0, **{**shuffled, "names": np.array([f"other {i}" for i in range(40)])})
    (pair,) = compared(capsys, a, b)["pairs"]
    assert (pair["difference"]["value"], pair["p"]) == (0, 1)
    assert main(["compare", a, write(tmp_path / "c", 30, task=None, classes=None, contents=None)]) == 0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"contents": np.arange(40)}, "their test images are not the same, 40 and 40, of which 40 have the same name"),
        (
            {"contents": None, "names": np.array([f"{i:02}.png" for i in range(1, 41)])},
            "of which 39 have the same name",
        ),
        ({"classes": np.array(["cat", "cow"])}, "their classes differ, for example 'dog' and 'cow'"),
        ({"task": np.array("multilabel")}, "their tasks are classification and multilabel"),
        ({"labels": 1 - LABELS}, "the labels of some differ"),
        ({"probabilities": np.ones((40, 3)), "classes": None}, "their numbers of classes or values differ"),
        ({"names": None}, "has no names: it is not a file of predictions"),
        ({"task": None, "probabilities": None, "values": np.ones((40, 1))}, "does not say its task"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    changed: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", write(tmp_path / "a", 36), write(tmp_path / "b", 30, **changed)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_missing_and_damaged_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, damaged = write(tmp_path / "a", 36), tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "run").mkdir()
    for other, reason in (
        (str(tmp_path / "run"), "run `vitrail test --ckpt_path"),
        (str(tmp_path / "none.npz"), "there is no predictions.npz at"),
        (str(damaged), "is damaged"),
    ):
        assert main(["compare", a, other]) == 2
        assert reason in capsys.readouterr().err
    assert main(["compare", a]) == 2
    assert "at least two runs" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["multilabel", "regression", "dense", "dense-regression", "sequence", "detection"])
def test_other_tasks(task: TaskName, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mean over images is the task's own metric; a run is equal to itself."""
    random = np.random.default_rng(3)
    sequences = np.stack([random.integers(0, 2, 12), np.full(12, -1)], axis=1)
    boxes = np.array([[[0.0, 0.1, 0.1, 0.5, 0.5]]] * 12)
    made: dict[str, tuple[np.ndarray, np.ndarray, str]] = {
        "multilabel": (random.random((12, 2)), random.integers(0, 2, (12, 2)), "accuracy"),
        "regression": (random.random((12, 1)), random.random((12, 1)), "MAE of a"),
        "dense": (
            random.random((12, 2, 2, 2)),
            random.integers(0, 2, (12, 2, 2)).repeat(2, 1).repeat(2, 2),
            "accuracy",
        ),
        "dense-regression": (random.random((12, 2, 2, 1)), random.random((12, 1, 4, 4)), "MAE of a"),
        "sequence": (random.random((12, 2, 3)), sequences, "accuracy"),
        "detection": (
            np.concatenate([boxes[..., 1:], random.random((12, 1, 3))], axis=2),
            boxes,
            "accuracy",
        ),
    }
    outputs, labels, metric = made[task]
    outputs = outputs.astype(np.float32)
    names = np.array(["a", "b"][: 1 if "regression" in task else 2])
    for run, predictions in (("a", outputs), ("b", np.roll(outputs, 1, axis=0))):
        (tmp_path / run).mkdir()
        arrays: dict[str, Any] = {
            TASKS[task].outputs[0]: predictions,
            "labels": labels,
            "names": np.arange(12).astype(str),
        }
        np.savez(tmp_path / run / "predictions.npz", **arrays, task=np.array(task), classes=names)
    found = compared(capsys, str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a"))
    metrics = TASKS[task].evaluate(outputs, labels, names.tolist()).metrics()
    assert found["runs"][0]["value"] == pytest.approx(metrics[f"test_{metric}"])
    assert found["pairs"][1]["p"] == 1
    assert found["images"] == 12


def test_comparing_imports_no_torch(tmp_path: Path) -> None:
    runs = [write(tmp_path / "a", 36), write(tmp_path / "b", 30)]
    program = (
        "import sys\nfrom vitrail.cli import main\n"
        f"main(['compare', *{runs}])\n"
        "print({'torch', 'pytorch_lightning', 'sklearn'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
