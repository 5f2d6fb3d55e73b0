"""Batches that fail in the runtime: whom it costs what, and when the model is given up; and batches at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitrail.errors import ModelError
from vitrail.images.golden import golden_images, mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Outputs
from vitrail.runtime.bound import AT_ONCE, BoundGraph, Buffers
from vitrail.serving.engine import inference as module
from vitrail.serving.engine.batcher import BatchFailed
from vitrail.serving.engine.inference import Block, Loaded, LocalInference
from vitrail.serving.settings import Settings

CANVASES = [mosaic(4, seed, 8, 8)[None] for seed in range(8)]
POISON = np.zeros((1, 8, 8, 3), np.uint8)
Broken = Callable[[list[Block]], bool]


class Subject:
    """A loaded model that fails on some batches, and what the server knows of it."""

    def __init__(self, model: Classifier, monkeypatch: pytest.MonkeyPatch, broken: Broken) -> None:
        self.states: list[Loaded] = []
        self.lost = 0
        self.inference = LocalInference(on_lost=self.on_lost)
        predict_parts = model.predict_parts

        def fails(parts: list[Block]) -> Outputs:
            if broken(parts):
                raise ModelError("out of memory\nin a kernel")
            return predict_parts(parts)

        monkeypatch.setattr(model, "predict_parts", fails)
        monkeypatch.setattr(module, "open_model", lambda: (model, 8))
        self.expected = [predict_parts([canvas]) for canvas in CANVASES]

    def on_lost(self) -> None:
        self.lost += 1

    def run(self, scenario: Callable[[LocalInference], Awaitable[None]]) -> None:
        async def whole() -> None:
            await self.inference.load(Settings(), "", self.states.append)
            await scenario(self.inference)
            await self.inference.close()

        asyncio.run(whole())

    def near(self, actual: Outputs, index: int) -> bool:
        return bool(np.abs(actual.logits - self.expected[index].logits).max() < 1e-5)


@pytest.fixture
def model(model_file: Path) -> Classifier:
    return Classifier(model_file, "cpu", 1)


def images(parts: list[Block]) -> int:
    return sum(map(len, parts))


def test_a_batch_size_that_fails_is_not_taken_again(
    model: Classifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    subject = Subject(model, monkeypatch, lambda parts: images(parts) > 4)

    async def scenario(inference: LocalInference) -> None:
        for _ in range(2):
            rows = await inference.infer(CANVASES[:7])
            assert all(isinstance(row, Outputs) and subject.near(row, index) for index, row in enumerate(rows))
        assert inference.batcher.max_size == 4

    subject.run(scenario)
    assert "a batch of 7 images failed (out of memory): batches have at most 4 from now on" in caplog.text
    assert [state.largest_batch for state in subject.states] == [8, 4, 4]
    assert subject.lost == 0


def test_an_image_that_fails_fails_alone(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(model, monkeypatch, lambda parts: any(not part.any(axis=(1, 2, 3)).all() for part in parts))

    async def scenario(inference: LocalInference) -> None:
        both = np.concatenate([CANVASES[2], POISON])
        first, second, third = await asyncio.gather(
            inference.predict([CANVASES[0]]),
            inference.predict([both]),
            inference.predict([CANVASES[1]]),
            return_exceptions=True,
        )
        assert isinstance(first, Outputs)
        assert isinstance(third, Outputs)
        assert subject.near(first, 0)
        assert subject.near(third, 1)
        assert isinstance(second, BatchFailed)
        assert "out of memory" in str(second)
        assert inference.batcher.max_size == 8

    subject.run(scenario)
    assert subject.lost == 0


def test_a_model_that_computes_nothing_any_more_is_given_up(
    model: Classifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = False
    subject = Subject(model, monkeypatch, lambda parts: broken)
    predict = model.predict

    async def scenario(inference: LocalInference) -> None:
        nonlocal broken
        assert subject.near(await inference.predict([CANVASES[0]]), 0)
        broken = True
        with pytest.raises(BatchFailed, match="out of memory"):
            await inference.predict([CANVASES[1]])
        assert subject.lost == 0  # it still computes its own test image
        monkeypatch.setattr(model, "predict", lambda canvases: subject.inference.model.predict_parts([canvases]))  # type: ignore[union-attr]
        with pytest.raises(BatchFailed, match="out of memory"):
            await inference.predict([CANVASES[1]])
        monkeypatch.setattr(model, "predict", predict)

    subject.run(scenario)
    assert subject.lost == 1
    assert subject.states[-1] == Loaded(None, "CPUExecutionProvider computes nothing any more: out of memory")
    assert "not ready: CPUExecutionProvider computes nothing any more: out of memory" in caplog.text


def test_two_batches_are_under_way_where_that_gains(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load each full batch is copied while the one before is computed; all answers are right."""
    graph = BoundGraph(model.session, 8, model.task.outputs, "cpu", captures=False)
    monkeypatch.setattr(model, "for_canvases", graph)
    subject = Subject(model, monkeypatch, lambda parts: False)
    taken: list[int] = []
    fill, run = Buffers.fill, model.session.run_with_iobinding

    def slowly(*binding: Any) -> None:
        time.sleep(0.02)
        run(*binding)

    def noted(buffers: Buffers, parts: list[Block]) -> None:
        if len(buffers.staging) in graph.free:
            taken.append(AT_ONCE - 1 - graph.free[len(buffers.staging)].qsize())
        fill(buffers, parts)

    async def scenario(inference: LocalInference) -> None:
        assert inference.batcher.at_once == AT_ONCE
        for count in (1, 8):
            graph.run_parts(CANVASES[:count])  # prepares the memory
        monkeypatch.setattr(Buffers, "fill", noted)
        computing: Any = SimpleNamespace(run_with_iobinding=slowly, run=model.session.run)
        monkeypatch.setattr(graph, "session", computing)
        inference.infer_rate.seconds = 1.0  # so that batches are handed over to threads
        calls = [inference.predict([CANVASES[number % 8]]) for number in range(120)]
        for number, outputs in enumerate(await asyncio.gather(*calls)):
            assert subject.near(outputs, number % 8)

    subject.run(scenario)
    assert max(taken) == 1  # one other batch was under way


def test_the_golden_image_is_what_decides(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def fails(images: np.ndarray) -> Outputs:
        seen.append(images)
        raise ModelError("no device")

    assert not module.is_lost(model)
    monkeypatch.setattr(model, "predict", fails)
    assert module.is_lost(model)
    np.testing.assert_array_equal(seen[0][0], golden_images(model.card.input)[0])
