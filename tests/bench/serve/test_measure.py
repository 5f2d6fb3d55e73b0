"""`vitrail bench serve`: ratios by hand, checks of predictions, and one short run with real processes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vitrail.bench.serve.contenders import require_same_predictions
from vitrail.bench.serve.measure import Plan
from vitrail.bench.serve.servers import PEERS, VITRAIL, environment, parse_list, parse_object, parse_protocol
from vitrail.bench.serve.under_load import Turn, result_of
from vitrail.bench.serve.uploads import COUNT, uploads
from vitrail.cli import main
from vitrail.errors import ParityError, UsageError
from vitrail.images.decode import decode


def test_ratios_are_taken_within_a_round() -> None:
    ours = [Turn(100.0 * i, 2.0, 1.0, 4.0 * i, 0, 0.0) for i in range(1, 6)]
    theirs = [Turn(50.0 * i, 8.0, 1.0, 2.0 * i, i, 0.0) for i in range(1, 6)]
    bare = [Turn(400.0 * i, 1.0, None, None, 0, 0.0) for i in range(1, 6)]
    turns = {"vitrail": ours, "peer": theirs, "bare": bare}
    peer = result_of("peer", turns)
    assert (peer.speedup.low, peer.speedup.high) == (2, 2)
    assert peer.cpu_ratio.value == 0.25
    assert peer.p99_ratio is not None
    assert peer.p99_ratio.value == 2
    assert (peer.rate.value, peer.p99_ms, peer.failed) == (150, 6, 15)
    ceiling = result_of("bare", turns)
    assert ceiling.p99_ratio is None
    assert ceiling.speedup.value == 0.25


def test_server_with_other_predictions_is_refused() -> None:
    expected = {0: 0.7, 1: 0.2, 2: 0.1}
    require_same_predictions("peer", {0: 0.70001, 1: 0.2}, expected)
    for wrong in ({0: 0.6, 1: 0.2}, {1: 0.2, 2: 0.1}, {9: 0.7}, {}):
        with pytest.raises(ParityError, match="peer"):
            require_same_predictions("peer", wrong, expected)


def test_responses_of_each_server_are_parsed() -> None:
    labels = [{"label": "a", "index": 3, "probability": 0.75}, {"label": "b", "index": 1, "probability": 0.25}]
    expected = {3: 0.75, 1: 0.25}
    assert parse_object({"model": {}, "predictions": [{"labels": labels}]}) == expected
    assert parse_list([{"labels": labels}]) == expected
    assert parse_protocol({"outputs": [{"data": [json.dumps({"labels": labels})]}]}) == expected


def test_uploads_differ_and_depend_on_the_seed_alone() -> None:
    files = uploads(8, seed=3)
    assert len(set(files)) == COUNT
    assert files == uploads(8, seed=3)
    assert files[0] != uploads(8, seed=4)[0]
    assert decode(files[0]).size == (21, 16)


def test_peers_do_not_inherit_our_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("VITRAIL_QUEUE", "32")
    theirs = environment(PEERS[0], Path("model.onnx"), 1234, tmp_path)
    assert not {"PYTHONPATH", "VITRAIL_QUEUE"} & theirs.keys()
    assert (theirs["PEER_MODEL"], theirs["PEER_PORT"]) == (str(Path("model.onnx").absolute()), "1234")
    ours = environment(VITRAIL, Path("model.onnx"), 1234, tmp_path)
    assert ours["PYTHONPATH"] == "somewhere"
    assert "VITRAIL_QUEUE" not in ours


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"parts": ("load", "nonsense")}, "parts"),
        ({"parts": ()}, "parts"),
        ({"attackers": ("trailers", "nonsense")}, "attackers are trailers"),
        ({"attackers": ()}, "attackers are trailers"),
        ({"rounds": 4}, "rounds"),
        ({"connections": (0,)}, "connection"),
        ({"seconds": 0.0}, "seconds"),
    ],
)
def test_invalid_plans_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Plan("model.onnx", **wrong)


@pytest.mark.parametrize("kind", ["serve", "soak"])
def test_missing_model_is_one_line(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", kind]) == 2
    assert f"vitrail bench {kind} --model" in capsys.readouterr().err


# An installation of [cpu,serve], which is all that `bench serve`, `soak` and `decode` need.
WITHOUT_TRAINING = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "timm", "onnx", "onnxscript", "pytorch_lightning"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import vitrail.bench.decode.measure
import vitrail.bench.serve.measure
import vitrail.bench.serve.soak
import vitrail.bench.serve.under_load
from vitrail.cli import main

vitrail.bench.serve.measure.REST = 0.0
vitrail.bench.serve.under_load.WARM_UP = 0.1
sys.exit(main(sys.argv[1:]))
"""


def test_short_run_without_training_packages(model_file: Path, tmp_path: Path) -> None:
    written = tmp_path / "load.json"
    short = ["--rounds", "5", "--seconds", "0.3", "--connections", "2", "--peers", str(tmp_path / "none")]
    argv = ["bench", "serve", "--model", str(model_file), "--parts", "load", *short, "--json", str(written)]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRAINING, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run `make peers`") == len(PEERS)
    report = json.loads(written.read_text())
    (measured,) = report["load"]
    assert [each["name"] for each in measured["results"]] == ["bare onnxruntime session", "vitrail"]
    ours = measured["results"][1]
    assert ours["failed"] == 0
    assert ours["speedup"] == {"value": 1, "low": 1, "high": 1, "coverage": 0.9375}
    assert all(turn["rate"] > 0 and turn["cpu_ms"] > 0 for turn in measured["rounds"]["vitrail"])
    assert report["usage"]["vitrail"]["processes"] == 2
    assert report["overload"] is None
