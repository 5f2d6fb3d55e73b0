"""`vitrail bench python`: a short run of the whole command on a small model."""

import json
from pathlib import Path

import numpy as np
import pytest

from vitrail.bench.python.measure import PROGRAMS, Plan, measure_arrays
from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.model_file.model import Model


def test_the_whole_command(model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--batches=1,3", "--rounds=5", "--seconds=0.01", f"--json={tmp_path / 'python.json'}"]
    assert main(["bench", "python", f"--model={model_file}", *argv]) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "python.json").read_text())
    assert report["starts"].keys() == PROGRAMS.keys()
    assert report["starts"]["import vitrail"]["value"] < report["starts"]["load and first prediction"]["value"]
    assert [one["batch"] for one in report["arrays"]] == [1, 3]
    assert all(one["ours_over_bare"]["value"] > 0 for one in report["arrays"])
    assert all(name in printed for name in PROGRAMS)


def test_both_get_the_same_canvases(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[np.ndarray]] = {"ours": [], "bare": []}
    with Model(model_file, provider="cpu") as model:

        class Session:
            def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> None:
                seen["bare"].append(inputs["image"])

        monkeypatch.setattr(Model, "session", Session())
        monkeypatch.setattr(Model, "classify", lambda self, image: seen["ours"].append(image))
        measure_arrays(Plan(str(model_file), seconds=0.001), model, 2, lambda line: None)
    assert all(np.array_equal(array, seen["ours"][0]) for arrays in seen.values() for array in arrays)
    assert seen["bare"][0].shape == (2, 8, 8, 3)


def test_few_rounds_are_refused() -> None:
    with pytest.raises(UsageError, match="4 rounds are too few: measure at least 5"):
        Plan("model.onnx", rounds=4)
