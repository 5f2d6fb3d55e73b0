"""`vitrail bench infer`: all contenders compute the same function, and the JSON is complete."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vitrail.bench.infer.contenders import Bound, Contender, logit_error, normalise
from vitrail.bench.infer.measure import OURS, Plan, measure_batches
from vitrail.bench.infer.network import Batch, seeded_batch, seeded_network
from vitrail.bench.infer.peer_exporters import EXPORTERS
from vitrail.cli import main
from vitrail.errors import ParityError
from vitrail.images.canvas import InputRule
from vitrail.models.input import Input

RULE = InputRule(32, "squash", (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
OUR_FILE = [OURS, "vitrail, threads that spin", "vitrail in OpenVINO"]
BF16 = "vitrail in OpenVINO bf16"  # absent where the processor has none
TIMM = ["timm", "timm after numpy"]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return seeded_network("vit_tiny_patch16_224", 32, 0)


ARGV = ["bench", "infer", "--size", "32", "--batches", "1", "--rounds", "5", "--seconds", "0.01"]


def test_command_without_slow_contenders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which has imported torch and onnxscript, and without the compiler and other exporters."""

    def no_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr("torch.compile", lambda network, dynamic: no_compiler)
    optimum = tuple(each for each in EXPORTERS if each.name.startswith("optimum"))
    monkeypatch.setattr("vitrail.bench.infer.measure.EXPORTERS", optimum)
    output = tmp_path / "out.json"
    assert main([*ARGV, "--name", "test_vit", "--threads", "1", "--peers", str(tmp_path), "--json", str(output)]) == 0
    absent, _ = check_report(output, capsys.readouterr().out, tmp_path, [*OUR_FILE, "torch, eager"])
    assert absent == {"torch.compile"}


@pytest.mark.long
@pytest.mark.parametrize("compiler", ["none", ""])
def test_whole_command(compiler: str, tmp_path: Path) -> None:
    """In a process of its own, as torch reads how its threads wait when it is first imported.

    Most of the time is that of imports, exports and torch.compile; without a compiler the last is absent.
    """
    output = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "-m", "vitrail", *ARGV, "--peers", str(tmp_path), "--json", str(output)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ({"CXX": compiler} if compiler else {}),
    )
    assert done.returncode == 0, done.stderr
    absent, files = check_report(output, done.stdout, tmp_path, [*OUR_FILE, *TIMM, "timm, dynamo", "torch, eager"])
    assert absent <= {"torch.compile"}  # it needs a C++ compiler
    assert not compiler or absent == {"torch.compile"}
    assert files["timm"]["nodes"] > files["timm, dynamo"]["nodes"] > 100


def check_report(output: Path, text: str, peers: Path, names: list[str]) -> tuple[set[str], dict[str, Any]]:
    """Checks the JSON and the text; returns absent contenders but optimum, and the file of each contender."""
    report = json.loads(output.read_text())
    assert report["plan"]["batches"] == [1]
    assert {"python", "torch", "timm", "onnx"} <= report["versions"].keys()
    absent = {each["name"]: each["reason"] for each in report["absent"]}
    for name in ("optimum", "optimum -O2"):
        assert "run `make peers`" in absent.pop(name)
        assert f"not measured: {name}: not installed at {peers}" in text
    if BF16 not in absent:
        names.insert(len(OUR_FILE), BF16)
    names = [*names, *({"torch.compile"} - absent.keys())]
    assert [each["name"] for each in report["contenders"]] == names
    (measured,) = report["measured"]
    assert measured["rounds"].keys() == set(names)
    assert measured["background_load"] >= 0
    for result in measured["results"]:
        times = measured["rounds"][result["name"]]
        assert len(times) == 5
        assert result["milliseconds"]["value"] == pytest.approx(1000 * np.median(times))
        assert result["images_per_second"] == pytest.approx(1 / np.median(times))
        ratios = np.divide(times, measured["rounds"][OURS])
        assert result["speedup"] == pytest.approx(
            {"value": np.median(ratios), "low": min(ratios), "high": max(ratios), "coverage": 0.9375}
        )
        assert result["max_logit_error"] < (0.1 if result["name"] == BF16 else 1e-3)
    files = {each["name"]: each["file"] for each in report["contenders"]}
    assert files["torch, eager"] is None
    assert files["vitrail"]["bytes"] > 4 * report["parameters"]
    return set(absent) - {BF16}, files


def test_every_weight_changes_the_logits(network: nn.Module) -> None:
    """So an exporter that drops a bias or swaps two tensors is detected."""
    pixels = torch.from_numpy(seeded_batch(RULE, 1, 0).pixels)
    with torch.no_grad():
        before = network(pixels)
        for name, weights in network.named_parameters():
            if name.startswith("blocks.") and not name.startswith(("blocks.0.", "blocks.11.")):
                continue  # of twelve blocks, the first and the last
            original = weights.clone()
            weights.zero_()
            assert (network(pixels) - before).abs().max() > 1e-3, name
            weights.copy_(original)


def test_seed_determines_the_weights(network: nn.Module) -> None:
    same, other = (seeded_network("vit_tiny_patch16_224", 32, seed).state_dict() for seed in (0, 1))
    for name, weights in network.state_dict().items():
        assert torch.equal(weights, same[name])
        assert not torch.equal(weights, other[name])


def test_pixels_equal_those_of_our_graph() -> None:
    batch = seeded_batch(RULE, 3, 0)
    assert (batch.canvases.shape, batch.pixels.shape) == ((3, 32, 32, 3), (3, 3, 32, 32))
    expected = Input(RULE)(torch.from_numpy(batch.canvases)).numpy()
    np.testing.assert_array_equal(batch.pixels, expected)
    by_numpy = normalise(batch.canvases, RULE)
    np.testing.assert_allclose(by_numpy, expected, atol=2e-6)
    assert by_numpy.dtype == np.float32
    assert by_numpy.flags.c_contiguous


def constant_contender(name: str, change: float) -> Contender:
    """Returns the network's own logits plus `change`."""

    def bind(batch: Batch) -> Bound:
        network = seeded_network("vit_tiny_patch16_224", 32, 0)
        with torch.inference_mode():
            logits = network(torch.from_numpy(batch.pixels)).numpy() + np.float32(change)
        return Bound(lambda: logits, lambda logits: logits)

    return Contender(name, "pixels", bind)


def test_contender_with_other_logits_is_dropped(network: nn.Module) -> None:
    plan = Plan(size=32, batches=(1,), rounds=5, seconds=0.001)
    contenders = [constant_contender(OURS, 0), constant_contender("same", 1e-5), constant_contender("another", 0.1)]
    (measured,), absent = measure_batches(plan, network, RULE, contenders, lambda line: None)
    assert [result.name for result in measured.results] == [OURS, "same"]
    assert measured.rounds.keys() == {OURS, "same"}
    assert [each.name for each in absent] == ["another"]
    assert absent[0].reason == "another computes another function: its logits differ by 1.00e-01"


def test_other_logits_of_our_own_file_are_an_error(network: nn.Module) -> None:
    plan = Plan(size=32, batches=(1,), rounds=5, seconds=0.001)
    with pytest.raises(ParityError, match="vitrail computes another function"):
        measure_batches(plan, network, RULE, [constant_contender(OURS, 0.1)], lambda line: None)


def test_nan_logits_and_wrong_shapes_are_errors() -> None:
    expected = np.zeros((1, 3), np.float32)
    lost = Bound(lambda: np.full((1, 3), np.nan, np.float32), lambda logits: logits)
    wide = Bound(lambda: np.zeros((1, 4), np.float32), lambda logits: logits)
    with pytest.raises(ParityError, match="differ by nan"):
        logit_error(constant_contender("lost", 0), lost, expected)
    with pytest.raises(ParityError, match="shape"):
        logit_error(constant_contender("wide", 0), wide, expected)


def test_contender_that_cannot_compile_is_absent_with_its_reason(network: nn.Module) -> None:
    def bind(batch: Batch) -> Bound:
        raise RuntimeError("\nNo working C++ compiler found\nmore")

    plan = Plan(size=32, batches=(1,), rounds=5, seconds=0.001)
    contenders = [constant_contender(OURS, 0), Contender("compiled", "pixels", bind)]
    _, absent = measure_batches(plan, network, RULE, contenders, lambda line: None)
    assert absent[0].reason == "not available: No working C++ compiler found"
