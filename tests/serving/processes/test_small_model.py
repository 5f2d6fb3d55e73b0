"""A small model is computed by the fronts themselves, with the same answers, as long as there is an engine."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from vitrail.errors import VitrailError
from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.serving.engine.inference import INLINE_SECONDS, Loaded
from vitrail.serving.http.problems import Problem
from vitrail.serving.processes.small_model import SMALL, is_small

from ...servers import Start
from ..conftest import Encode
from .test_hub import PNG, URL, counted, programs, wait_until
from .test_remote import Pair, pair

SECONDS = 0.0001  # that the model is said to take
CANVAS = mosaic(4, 1, 8, 8)[None]


async def with_front(both: Pair, model: Classifier, seconds: float = SECONDS) -> list[int]:
    """Once the front has decided who computes; returns the sizes of the engine's batches, as they are computed."""
    batches: list[int] = []
    compute = both.engine.inference.batcher.compute

    async def counting(blocks: list[Any]) -> Sequence[Any]:
        batches.append(sum(map(len, blocks)))
        return await compute(blocks)

    both.engine.inference.batcher.compute = counting
    both.engine.adopt(Loaded(model, None, largest_batch=32, seconds=seconds))
    while len(both.known) < 2:
        await asyncio.sleep(0.001)
    if both.front.small.opening is not None:
        await both.front.small.opening
    return batches


@pytest.mark.parametrize("seconds", [SECONDS, SMALL])
def test_outputs_are_those_of_the_model(tmp_path: Path, model_file: Path, seconds: float) -> None:
    """In the front, or by the engine where the model takes longer."""
    model = Classifier(model_file, "cpu", threads=1)

    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            batches = await with_front(both, model, seconds)
            outputs = await both.front.predict([CANVAS, CANVAS])
            assert batches == ([] if seconds < SMALL else [2])
            expected = model.predict(CANVAS)
            for name, column in outputs.columns.items():
                assert np.array_equal(column[:1], expected.columns[name])

    asyncio.run(scenario())


def test_what_would_keep_the_event_loop_busy_is_handed_over(tmp_path: Path, model_file: Path) -> None:
    model = Classifier(model_file, "cpu")
    many = int(INLINE_SECONDS / SECONDS)

    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            batches = await with_front(both, model)
            await both.front.predict([np.repeat(CANVAS, many, axis=0)])
            assert sum(batches) == many

    asyncio.run(scenario())


def test_which_models_are_small(model_file: Path) -> None:
    loaded = Loaded(Classifier(model_file, "cpu"), None, seconds=SECONDS)
    assert is_small(loaded)
    assert not is_small(replace(loaded, seconds=0.0))  # not known
    assert not is_small(replace(loaded, seconds=SMALL))
    assert not is_small(Loaded(None, "cut short"))
    on_gpu: Any = SimpleNamespace(provider="CUDAExecutionProvider")
    assert not is_small(replace(loaded, model=on_gpu))


def test_a_file_that_was_replaced_is_left_to_the_engine(
    tmp_path: Path, model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model.onnx"
    shutil.copy(model_file, path)
    model = Classifier(path, "cpu")

    async def scenario(change: str) -> None:
        async with pair(tmp_path, path) as both:
            if change == "removed":
                path.unlink()
            else:
                path.write_bytes(path.read_bytes() + b"\x00")
            batches = await with_front(both, model)
            await both.front.predict([CANVAS])
            assert batches == [1]
            assert "a front does not compute this model itself" in caplog.text
            caplog.clear()

    for change in ("replaced", "removed"):
        shutil.copy(model_file, path)
        asyncio.run(scenario(change))


def test_no_engine_no_answer(tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What /readyz says holds for all requests; when an engine is back, the front computes with what it had opened."""
    model = Classifier(model_file, "cpu")

    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            batches = await with_front(both, model)
            opened = both.front.small.opened
            monkeypatch.setattr(both.front, "connect", lambda: None)
            (client,) = both.engine.clients
            client.channel.close()
            while both.front.model is not None:
                await asyncio.sleep(0.001)
            with pytest.raises(Problem) as caught:
                await both.front.predict([CANVAS])
            assert caught.value.status == 503
            monkeypatch.undo()
            both.front.connect()
            await both.until_known()
            assert both.front.small.opening is not None
            await both.front.small.opening
            await both.front.predict([CANVAS])
            assert both.front.small.inference is opened
            assert batches == []

    asyncio.run(scenario())


def test_a_model_that_fails_in_the_front_is_computed_by_the_engine(
    tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Classifier(model_file, "cpu")

    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            batches = await with_front(both, model)
            assert both.front.small.inference is not None

            def fail(*_: object) -> None:
                raise VitrailError("out of memory")

            for name in ("predict", "predict_parts"):
                monkeypatch.setattr(both.front.small.inference.model, name, fail)
            with pytest.raises(VitrailError, match="out of memory"):
                await both.front.predict([CANVAS])
            await both.front.predict([CANVAS])
            assert batches == [1]

    asyncio.run(scenario())


def test_a_server_computes_a_small_model_in_its_fronts(
    start: Start, bentoml_serve: list[str], model_file: Path, encode: Encode
) -> None:
    """Also after its engine was killed, and everything is counted once."""
    environment = {"VITRAIL_MODEL": str(model_file), "VITRAIL_PROVIDER": "cpu", "VITRAIL_PROCESSES": "2"}
    image = encode()
    expected = Classifier(model_file, "cpu").classify(image)[0].probability
    with start(bentoml_serve, hand_over=False, **environment) as server:

        def answer() -> httpx.Response:
            return httpx.post(server.url + URL, content=image, headers=PNG, timeout=2)

        def answers_without(engine: psutil.Process) -> bool:
            engine.suspend()
            try:
                return all(answer().status_code == 200 for _ in range(8))  # new connections are of all fronts in turn
            except httpx.TimeoutException:
                return False
            finally:
                engine.resume()

        for _ in range(2):
            (engine,) = programs(server, "engine")
            wait_until(partial(answers_without, engine))
            before = counted(server, "vitrail_stage_seconds_count", 'stage="infer"')
            for _ in range(20):
                labels = answer().json()["predictions"][0]["labels"]
                assert labels[0]["probability"] == pytest.approx(expected, abs=1e-6)
            assert counted(server, "vitrail_stage_seconds_count", 'stage="infer"') - before == 20
            engine.kill()
            wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
            wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
