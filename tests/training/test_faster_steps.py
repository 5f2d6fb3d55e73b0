"""Tests of faster steps: the same weights, checkpoints in the usual memory format, compiling only where it pays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from vitrail.cli import main
from vitrail.images.canvas import InputRule
from vitrail.models.input import Input
from vitrail.training import cli, faster_steps
from vitrail.training.faster_steps import Compilation, can_be_fused, compilation, fuse
from vitrail.training.precision import PLAIN, ROUNDS, Execution, Measured

BF16, LAST = Execution("bf16-mixed"), Execution(is_channels_last=True)
INPUT = Input(InputRule(8))


def fit(*options: str) -> None:
    assert main(["fit", *options, "--trainer.accelerator=cpu"]) == 0


def test_fit_trains_in_the_measured_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "measure_training", lambda *args: Measured({PLAIN: 0.5, BF16: 0.2}, 16))
    seen: list[bool] = []
    forward = nn.Linear.forward

    def watched(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        if self.training:  # operations are counted without
            seen.append(torch.is_autocast_enabled("cpu"))
        return forward(self, x)

    monkeypatch.setattr(nn.Linear, "forward", watched)
    fit("--config=digits-vit", f"--run={tmp_path / 'run'}", "--trainer.max_steps=1", "--precision=auto")
    line = (
        "precision bf16-mixed (speed relative to float32 here: bf16-mixed 2.50 ×); AdamW fused; "
        "not compiled: less than 60 minutes of steps do not repay it"
    )
    assert line in capsys.readouterr().out.splitlines()
    assert seen
    assert all(seen)


@pytest.mark.long
def test_channels_last_trains_the_same_weights_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the resumed run finds another memory format the fastest."""

    def run(name: str, fastest: Execution, *options: str) -> dict[str, Any]:
        monkeypatch.setattr(cli, "measure_training", lambda *args: Measured({PLAIN: 0.5, fastest: 0.2}, 16))
        fit(*options, f"--run={tmp_path / name}")
        content: dict[str, Any] = torch.load(last_of(name), weights_only=True)
        return content

    def last_of(name: str) -> Path:
        return tmp_path / name / "checkpoints" / "last.ckpt"

    # AdamW's first steps are as long for a gradient of rounding as for any other, unless eps is above it.
    new = ["--config=digits-cnn", "--trainer.max_steps=2", "--model.optimizer.init_args.eps=1e-4"]
    halves = [run(name, one, *new, "--precision=auto") for name, one in (("plain", PLAIN), ("last", LAST))]
    same_training([run("explicit", PLAIN, *new), *halves])
    same_training(
        [
            run(f"{name} {then}", then, f"--ckpt_path={last_of(name)}", "--trainer.max_steps=4")
            for name in ("plain", "last")
            for then in (PLAIN, LAST)
        ]
    )


def same_training(checkpoints: list[dict[str, Any]]) -> None:
    expected = checkpoints[0]
    for found in checkpoints[1:]:
        assert list(found["state_dict"]) == list(expected["state_dict"])
        for name, value in found["state_dict"].items():
            assert value.is_contiguous()
            torch.testing.assert_close(value, expected["state_dict"][name], rtol=1e-3, atol=2e-5)
        states, others = (one["optimizer_states"][0]["state"] for one in (found, expected))
        for index, state in states.items():
            assert list(state) == list(others[index])
            assert state["exp_avg"].is_contiguous()
            torch.testing.assert_close(state["exp_avg"], others[index]["exp_avg"], rtol=1e-3, atol=2e-5)


def test_only_optimizers_that_torch_can_fuse_are() -> None:
    parameters = [nn.Parameter(torch.zeros(2))]
    assert can_be_fused(AdamW(parameters))
    assert can_be_fused(SGD(parameters, lr=0.1))
    assert not can_be_fused(AdamW(parameters, foreach=True))
    assert not can_be_fused(AdamW(parameters, fused=False))
    assert not can_be_fused(torch.optim.NAdam(parameters))


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_fused_updates_take_a_state_that_lay_otherwise(kind: Any) -> None:
    """torch would pair the elements of weights and averages by their places in memory."""
    networks = [nn.Conv2d(3, 4, 3) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    options = {"momentum": 0.9} if kind is SGD else {}
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for network in networks:
        optimizer = kind(network.parameters(), lr=0.01, **options)
        for step in range(3):
            if step == 1 and network is networks[1]:
                LAST.arrange(network)
                fuse(optimizer)
            optimizer.zero_grad()
            network(pixels).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(networks[1].weight, networks[0].weight.contiguous(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("faster", "steps", "pays"), [(0.001, 10_000, True), (0.001, 2_000, False), (1.0, 10_000, False)]
)
def test_compiling_pays_where_the_steps_save_more_than_it_takes(
    faster: float, steps: int, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 2 ms, compiled ones of 1 ms or of 2 ms; compiling takes 5 s."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    compiled: list[Any] = []
    monkeypatch.setattr(nn.Module, "compile", lambda copy: compiled.append(copy))

    taken: Iterator[float] = iter([5.0, *(0.002, min(0.002, faster)) * ROUNDS])

    def timed(step: Any, *rest: Any) -> float:
        step()
        return next(taken)

    monkeypatch.setattr(faster_steps, "timed", timed)
    monkeypatch.setitem(faster_steps.WORTH_TRYING, "cpu", 1.0)
    found = compilation(network, INPUT, Measured({PLAIN: 0.002}, 4), 4, steps, "cpu")
    assert found.pays is pays
    assert len(compiled) == 1
    assert compiled[0] is not network
    assert all(one.grad is None for one in network.parameters())


def test_short_runs_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "compile", lambda network: pytest.fail("compiled"))
    found = compilation(nn.Linear(2, 2), INPUT, Measured({PLAIN: 0.1}, 16), 32, 10_000, "cpu")
    assert found == Compilation(False, "less than 60 minutes of steps do not repay it")


def test_a_network_that_fails_to_compile_is_trained_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(network: nn.Module) -> None:
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(nn.Module, "compile", fails)
    found = compilation(nn.Linear(2, 2), INPUT, Measured({PLAIN: 0.1}, 16), 16, 100_000, "cpu")
    assert str(found) == "not compiled: it fails with no C++ compiler"
