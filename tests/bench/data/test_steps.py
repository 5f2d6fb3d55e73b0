"""Steps that the pipeline feeds: what is timed, and that they train."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from vitrail.bench.core.report import RoundsPlan
from vitrail.bench.data import steps
from vitrail.bench.data.steps import FED, RESIDENT, Training, fed_and_resident


def test_steps_lower_the_loss_and_received_batches_are_flipped_copies() -> None:
    training = Training("test_vit", 32, "cpu", seed=0)
    images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = images, torch.arange(8) % 2, np.arange(8)
    received = training.received(batch)
    same = [bool((one == other).all()) for one, other in zip(received[0], images, strict=True)]
    mirrored = [bool((one == other.flip(-1)).all()) for one, other in zip(received[0], images, strict=True)]
    assert [one or other for one, other in zip(same, mirrored, strict=True)] == [True] * 8
    assert 0 < sum(mirrored) < 8

    def loss() -> float:
        logits = training.network(training.input.normalised(received[0]))
        return torch.nn.functional.cross_entropy(logits, received[1]).item()

    before = loss()
    for _ in range(5):
        training.step(received)
    assert loss() < before


class Recorder:
    """In place of the pipeline and the network: what is done in which order."""

    workers = 2

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.now = 0.0

    def prepared(self) -> "Recorder":
        return self

    endless = prepared

    def __next__(self) -> str:
        self.calls.append("next")
        return "batch"

    def skip_made(self) -> None:
        self.calls.append("skip")

    def close(self) -> None:
        self.calls.append("close")

    def received(self, batch: Any) -> Any:
        return batch

    def step(self, batch: Any) -> None:
        self.now += 3.0 if self.calls[-1] == "next" else 1.0
        self.calls.append("step")

    def wait(self) -> None:
        self.calls.append("wait")


def turns(calls: list[str]) -> Iterator[list[str]]:
    """The calls between two waits."""
    turn: list[str] = []
    for call in calls:
        if call == "wait":
            yield turn
            turn = []
        else:
            turn.append(call)


def test_each_turn_has_steps_that_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder: Any = Recorder()
    monkeypatch.setattr(steps, "perf_counter", lambda: recorder.now)
    times = fed_and_resident(recorder, recorder, RoundsPlan(rounds=5), steps=4)
    assert times == {FED: [3.0] * 5, RESIDENT: [1.0] * 5}
    assert recorder.calls[0] == "next"
    assert recorder.calls[-1] == "close"
    kinds = [["skip"], ["next", "step"] * 3, ["next", "step"] * 4, ["step"] * 3, ["step"] * 4]
    work = [turn for turn in turns(recorder.calls[1:]) if turn]
    assert [work.count(kind) for kind in kinds] == [5] * 5
    assert len(work) == 25
    assert all(work[index + 1] == kinds[1] for index, turn in enumerate(work) if turn == ["skip"])
