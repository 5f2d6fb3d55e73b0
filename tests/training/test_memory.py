"""Tests of batches that do not fit: what torch would raise is raised by the network above a number of images."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vitrail.cli import main
from vitrail.training.memory import explanation, is_out_of_memory

MOST = 11  # images


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = nn.Linear.forward

    def limited(layer: nn.Linear, x: Tensor) -> Tensor:
        if len(x) > MOST:
            raise torch.OutOfMemoryError(f"tried to allocate memory for {len(x)}")
        return forward(layer, x)

    monkeypatch.setattr(nn.Linear, "forward", limited)


def test_fit_says_which_batch_would_fit(small_memory: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["fit", "--config=digits-vit", "--data.batch_size=64", f"--run={tmp_path / 'run'}"])
    said = capsys.readouterr().err
    assert code == 2
    assert "a batch of 64 images does not fit into the memory; one of 8 does: --data.batch_size 8" in said
    assert "--trainer.accumulate_grad_batches 8" in said
    assert len(said.strip().splitlines()) == 1


def test_a_network_that_fits_with_no_batch_says_so() -> None:
    assert "choose a smaller one" in explanation(64, 0)


def test_torch_raises_what_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2) @ torch.zeros(3)
    assert not is_out_of_memory(caught.value)
