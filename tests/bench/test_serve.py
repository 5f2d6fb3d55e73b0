"""`vitrail bench serve` and `soak`: ratios by hand, who may take part, and one short run with real processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from vitrail.bench.serve.processes import ResourceUsage

from vitrail.bench.serve.contenders import require_same_predictions
from vitrail.bench.serve.plan import Plan
from vitrail.bench.serve.servers import PEERS, VITRAIL, environment, parse_list, parse_object, parse_protocol
from vitrail.bench.serve.soak import flat
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


def test_only_a_server_that_answers_as_the_file_does_takes_part() -> None:
    expected = {0: 0.7, 1: 0.2, 2: 0.1}
    require_same_predictions("peer", {0: 0.70001, 1: 0.2}, expected)
    for wrong in ({0: 0.6, 1: 0.2}, {1: 0.2, 2: 0.1}, {9: 0.7}, {}):
        with pytest.raises(ParityError, match="peer"):
            require_same_predictions("peer", wrong, expected)


def test_answers_are_read_in_the_shape_that_each_server_gives_them() -> None:
    labels = [{"label": "a", "index": 3, "probability": 0.75}, {"label": "b", "index": 1, "probability": 0.25}]
    expected = {3: 0.75, 1: 0.25}
    assert parse_object({"model": {}, "predictions": [{"labels": labels}]}) == expected
    assert parse_list([{"labels": labels}]) == expected
    assert parse_protocol({"outputs": [{"data": [json.dumps({"labels": labels})]}]}) == expected


def test_uploads_are_different_images_and_the_same_every_time() -> None:
    found = uploads(8, seed=3)
    assert len(set(found)) == COUNT
    assert found == uploads(8, seed=3)
    assert found[0] != uploads(8, seed=4)[0]
    assert decode(found[0]).size == (21, 16)


def test_peers_are_told_the_model_and_nothing_of_ours(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("VITRAIL_QUEUE", "32")
    theirs = environment(PEERS[0], Path("model.onnx"), 1234, tmp_path)
    assert not {"PYTHONPATH", "VITRAIL_QUEUE"} & theirs.keys()
    assert (theirs["PEER_MODEL"], theirs["PEER_PORT"]) == (str(Path("model.onnx").absolute()), "1234")
    ours = environment(VITRAIL, Path("model.onnx"), 1234, tmp_path)
    assert ours["PYTHONPATH"] == "somewhere"
    assert "VITRAIL_QUEUE" not in ours


def test_what_grows_is_not_flat() -> None:
    def looks(memory=0.0, files=0.0, threads=0.0) -> list[ResourceUsage]:
        """Ten looks, each of which holds so much more than the one before."""
        sizes = ((int(1e8 + k * memory), int(40 + k * files), int(9 + k * threads)) for k in range(10))
        return [ResourceUsage(*size, processes=2) for size in sizes]

    assert flat(looks())
    assert flat(looks(memory=1e6))  # 4 % from half to half: within what a moment may differ
    assert not flat(looks(memory=4e6))
    assert not flat(looks(files=1))
    assert not flat(looks(threads=1))
    assert flat([ResourceUsage(10**9, 400, 90, 2), *looks()[1:]])  # a start is not a leak


@pytest.mark.parametrize(
    ("wrong", "said"),
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
def test_a_plan_that_says_nothing_is_refused(wrong, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Plan("model.onnx", **wrong)


@pytest.mark.parametrize("kind", ["serve", "soak"])
def test_without_a_model_one_line_says_so(kind: str, capsys) -> None:
    assert main(["bench", kind]) == 2
    assert f"vitrail bench {kind} --model" in capsys.readouterr().err


# A machine that only serves: the words of `bench serve`, `soak` and `decode` ask for [cpu,serve] alone.
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


def test_a_short_run_with_ours_and_the_bare_session_where_nothing_can_train(model_file: Path, tmp_path: Path) -> None:
    written = tmp_path / "load.json"
    short = ["--rounds", "5", "--seconds", "0.3", "--connections", "2", "--peers", str(tmp_path / "none")]
    words = ["bench", "serve", "--model", str(model_file), "--parts", "load", *short, "--json", str(written)]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRAINING, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run `make peers`") == len(PEERS)
    report = json.loads(written.read_text())
    (measured,) = report["load"]
    assert [each["name"] for each in measured["results"]] == ["bare onnxruntime session", "vitrail"]
    ours = measured["results"][1]
    assert ours["failed"] == 0
    assert ours["speedup"] == {"value": 1, "low": 1, "high": 1, "coverage": 0.9375}
    assert all(turn["rate"] > 0 and turn["cpu_ms"] > 0 for turn in measured["rounds"]["vitrail"])
    assert report["held"]["vitrail"]["processes"] == 2
    assert report["overload"] is None
