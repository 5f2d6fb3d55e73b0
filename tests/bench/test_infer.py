"""`vitrail bench infer`: all contenders compute one function, and the JSON says everything."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vitrail.bench.core.machine import Work, background_load, cpu_name, cpu_usage, installed_versions
from vitrail.bench.infer.contenders import Bound, Contender, logit_error, normalise
from vitrail.bench.infer.measure import OURS, Plan, measure_batches
from vitrail.bench.infer.network import Batch, seeded_batch, seeded_network
from vitrail.bench.infer.peer_exporters import EXPORTERS, Exporter, interpreter_of, run_exporter
from vitrail.errors import ParityError
from vitrail.images.canvas import InputRule
from vitrail.models.input import Input

RULE = InputRule(32, "squash", (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
ALWAYS = [
    "vitrail",
    "vitrail, threads that spin",
    "timm",
    "timm after numpy",
    "timm, dynamo",
    "torch, eager",
]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return seeded_network("vit_tiny_patch16_224", 32, 0)


@pytest.mark.parametrize("compiler", ["none", pytest.param("", marks=pytest.mark.long)])
def test_the_whole_command(compiler: str, tmp_path: Path) -> None:
    """In a process of its own, as torch reads how its threads wait when it is first imported.

    Half of the time is torch.compile's, with a compiler; without one it is absent.
    """
    output = tmp_path / "out.json"
    environment = os.environ | ({"CXX": compiler} if compiler else {})
    words = ["bench", "infer", "--size", "32", "--batches", "1", "--rounds", "5", "--seconds", "0.01"]
    done = subprocess.run(
        [sys.executable, "-m", "vitrail", *words, "--peers", str(tmp_path), "--json", str(output)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(output.read_text())
    assert report["plan"]["batches"] == [1]
    assert {"python", "torch", "timm", "onnx"} <= report["versions"].keys()
    absent = {each["name"]: each["reason"] for each in report["absent"]}
    for name in ("optimum", "optimum -O2"):
        assert "run `make peers`" in absent.pop(name)
        assert f"not measured: {name}: not installed at {tmp_path}" in done.stdout
    assert absent.keys() <= {"torch.compile"}  # it needs a C++ compiler
    assert not compiler or absent.keys() == {"torch.compile"}
    names = [*ALWAYS, *({"torch.compile"} - absent.keys())]
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
        assert result["max_logit_error"] < 1e-3
    files = {each["name"]: each["file"] for each in report["contenders"]}
    assert files["torch, eager"] is None
    assert files["timm"]["nodes"] > files["timm, dynamo"]["nodes"] > 100
    assert files["vitrail"]["bytes"] > 4 * report["parameters"]


def test_no_weight_of_the_network_is_idle(network: nn.Module) -> None:
    """Whoever drops a bias or swaps two parts is seen: every tensor has a say in the logits."""
    pixels = torch.from_numpy(seeded_batch(RULE, 1, 0).pixels)
    with torch.no_grad():
        before = network(pixels)
        for name, weights in network.named_parameters():
            if name.startswith("blocks.") and not name.startswith(("blocks.0.", "blocks.11.")):
                continue  # of twelve blocks, the first and the last
            kept = weights.clone()
            weights.zero_()
            assert (network(pixels) - before).abs().max() > 1e-3, name
            weights.copy_(kept)


def test_the_seed_decides_the_weights(network: nn.Module) -> None:
    same, other = (seeded_network("vit_tiny_patch16_224", 32, seed).state_dict() for seed in (0, 1))
    for name, weights in network.state_dict().items():
        assert torch.equal(weights, same[name])
        assert not torch.equal(weights, other[name])


def test_pixels_are_what_our_graph_makes_of_the_canvases() -> None:
    batch = seeded_batch(RULE, 3, 0)
    assert (batch.canvases.shape, batch.pixels.shape) == ((3, 32, 32, 3), (3, 3, 32, 32))
    expected = Input(RULE)(torch.from_numpy(batch.canvases)).numpy()
    np.testing.assert_array_equal(batch.pixels, expected)
    by_numpy = normalise(batch.canvases, RULE)
    np.testing.assert_allclose(by_numpy, expected, atol=2e-6)
    assert by_numpy.dtype == np.float32
    assert by_numpy.flags.c_contiguous


def answering(name: str, change: float) -> Contender:
    """The network's own logits, and `change` beside them."""

    def bind(batch: Batch) -> Bound:
        network = seeded_network("vit_tiny_patch16_224", 32, 0)
        with torch.inference_mode():
            logits = network(torch.from_numpy(batch.pixels)).numpy() + np.float32(change)
        return Bound(lambda: logits, lambda found: found)

    return Contender(name, "pixels", bind)


def test_another_function_is_not_compared(network: nn.Module) -> None:
    plan = Plan(size=32, batches=(1,), rounds=5, seconds=0.001)
    contenders = [answering(OURS, 0), answering("same", 1e-5), answering("another", 0.1)]
    (measured,), absent = measure_batches(plan, network, RULE, contenders, lambda line: None)
    assert [result.name for result in measured.results] == [OURS, "same"]
    assert measured.rounds.keys() == {OURS, "same"}
    assert [each.name for each in absent] == ["another"]
    assert absent[0].reason == "another computes another function: its logits differ by 1.00e-01"


def test_if_our_own_file_is_another_function_nothing_is_printed(network: nn.Module) -> None:
    plan = Plan(size=32, batches=(1,), rounds=5, seconds=0.001)
    with pytest.raises(ParityError, match="vitrail computes another function"):
        measure_batches(plan, network, RULE, [answering(OURS, 0.1)], lambda line: None)


def test_logits_that_are_no_numbers_are_another_function() -> None:
    expected = np.zeros((1, 3), np.float32)
    lost = Bound(lambda: np.full((1, 3), np.nan, np.float32), lambda found: found)
    wide = Bound(lambda: np.zeros((1, 4), np.float32), lambda found: found)
    with pytest.raises(ParityError, match="differ by nan"):
        logit_error(answering("lost", 0), lost, expected)
    with pytest.raises(ParityError, match="shape"):
        logit_error(answering("wide", 0), wide, expected)


def test_what_cannot_be_compiled_is_missing_with_its_reason(network: nn.Module) -> None:
    def bind(batch: Batch) -> Bound:
        raise RuntimeError("\nNo working C++ compiler found\nmore")

    plan = Plan(size=32, batches=(1,), rounds=5, seconds=0.001)
    contenders = [answering(OURS, 0), Contender("compiled", "pixels", bind)]
    _, absent = measure_batches(plan, network, RULE, contenders, lambda line: None)
    assert absent[0].reason == "not available: No working C++ compiler found"


def test_an_exporter_that_fails_says_why(tmp_path: Path) -> None:
    timm = EXPORTERS[0]
    job = {"name": "no_such_network", "size": 32, "classes": 10, "weights": "none"}
    done = run_exporter(timm, interpreter_of(timm, tmp_path), job, tmp_path)
    assert done.fault is not None
    assert "no_such_network" in done.fault


def test_a_peer_runs_in_its_own_environment() -> None:
    assert interpreter_of(Exporter("x", "x.py", {}), Path("p")) == Path(sys.executable)
    assert interpreter_of(Exporter("x", "x.py", {}, "export"), Path("p")) == Path("p/export/bin/python")


def test_the_processor_is_named_with_what_it_can_do(tmp_path: Path) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: sse avx2 avx512f\n\n")
    assert cpu_name(described) == "Some CPU @ 2 GHz (avx2, avx512f)"


def test_versions_of_what_is_not_installed_are_left_out() -> None:
    found = installed_versions(("torch", "no-such-package"))
    assert found["torch"] == version("torch")
    assert found.keys() == {"python", "torch"}


def test_what_others_held_is_what_was_worked_and_not_by_us(tmp_path: Path) -> None:
    assert background_load(Work(100, 10, 0), Work(130, 25, 10)) == pytest.approx(1.5)
    assert background_load(Work(100, 10, 0), Work(110, 20.5, 10)) == 0  # its ticks are coarser than our clock
    assert background_load(Work(None, 10, 0), Work(None, 25, 10)) is None
    counted = tmp_path / "stat"
    counted.write_text("cpu  100 20 30 9999 999 4 5 6 50 0\ncpu0 1 2 3\n")
    everybody = cpu_usage(counted).everybody
    assert everybody == pytest.approx((100 + 20 + 30 + 4 + 5 + 6) / os.sysconf("SC_CLK_TCK"))
