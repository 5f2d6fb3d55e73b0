"""A front's side and an engine's, in one process: the same outputs as without them, and no request without an end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import explain_path
from vitrail.serving.engine.batcher import BatchFailed
from vitrail.serving.engine.inference import Loaded
from vitrail.serving.http.problems import Problem
from vitrail.serving.processes import remote
from vitrail.serving.processes.board import Board
from vitrail.serving.processes.engine import Engine, listening
from vitrail.serving.processes.remote import RemoteInference
from vitrail.serving.processes.state import read, write
from vitrail.serving.settings import Settings


def test_what_fronts_know_of_a_model(explained_file: Path) -> None:
    model = Classifier(explained_file, "cpu")
    card = Explainer(model, explain_path(explained_file)).card
    loaded = read(write(Loaded(model, "why", card, "", 16)))
    assert loaded.model is not None
    for name in ("path", "card", "sha256", "provider", "shapes", "task", "top_k", "is_on_cpu"):
        assert getattr(loaded.model, name) == getattr(model, name)
    assert (loaded.reason, loaded.explanations, loaded.largest_batch) == ("why", card, 16)
    assert read(write(Loaded(None, "cut short"))) == Loaded(None, "cut short")


class Pair:
    """An engine with a model, and a front's side of it."""

    def __init__(self, folder: Path) -> None:
        board = Board.of(2)
        self.path = folder / "engine"
        self.board = Board(board.descriptor, 3, 1)
        self.engine = Engine(self.board, lambda: None)
        self.front = RemoteInference(Board(board.descriptor, 3, 0), self.path, 1)
        self.known: list[Loaded] = []

    async def load(self, model: Classifier, limits: Settings) -> None:
        """As after a start."""
        self.engine.inference.model = model
        self.engine.inference.batcher.capacity = limits.queue
        path = explain_path(model.path)
        explainer = self.engine.inference.explainer = Explainer(model, path) if path.is_file() else None
        self.engine.adopt(Loaded(model, None, explainer.card if explainer else None, "", 32))
        await self.front.load(limits, "", self.known.append)
        await self.until_known()

    async def until_known(self) -> None:
        async with asyncio.timeout(10):
            while self.front.model is None:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def pair(folder: Path, model: Path, limits: Settings | None = None) -> AsyncIterator[Pair]:
    both = Pair(folder)
    with listening(both.engine, both.path):
        await both.load(Classifier(model, "cpu"), limits or Settings())
        yield both
        await both.front.close()
    await both.engine.inference.close()


def test_outputs_are_those_of_the_model(tmp_path: Path, model_file: Path) -> None:
    model = Classifier(model_file, "cpu")
    canvases = np.stack([mosaic(4, seed, 8, 8) for seed in range(50)])
    other = np.stack([mosaic(9, seed, 40, 25) for seed in range(3)])
    alone = [model.predict(each[None]).logits for each in other]

    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            front = both.front
            single = await asyncio.gather(*(front.predict([canvas[None]]) for canvas in canvases))
            blocks = await front.predict([canvases[:32], canvases[32:]])
            resized = await front.predict_resized(other)
            one = await front.predict([canvases[:1]])
            assert front.arena is not None
            assert len(front.arena.free) == 1  # all was released
        for name, table in model.predict(canvases).columns.items():
            assert np.abs(np.concatenate([each.columns[name] for each in single]) - table).max() < 1e-5
            assert np.abs(blocks.columns[name] - table).max() < 1e-5
            assert (one.columns[name] == model.predict(canvases[:1]).columns[name]).all()
        assert np.abs(resized.logits - np.concatenate(alone)).max() < 1e-5

    asyncio.run(scenario())


def test_images_at_their_own_shapes(tmp_path: Path, native_file: Path) -> None:
    model = Classifier(native_file, "cpu")
    patch = model.card.input.patch
    assert patch
    canvases = [mosaic(4, seed, patch * rows, patch * columns) for seed, (rows, columns) in enumerate([(2, 3), (3, 1)])]

    async def scenario() -> None:
        async with pair(tmp_path, native_file) as both:
            outputs = await both.front.predict([canvas[None] for canvas in canvases])
        assert np.abs(outputs.logits - model.predict(canvases).logits).max() < 1e-5

    asyncio.run(scenario())


def test_explanations(tmp_path: Path, explained_file: Path) -> None:
    model = Classifier(explained_file, "cpu")
    canvas = mosaic(4, 1, 8, 8)
    evidence = Explainer(model, explain_path(explained_file)).evidence(canvas[None])[0]

    async def scenario() -> None:
        async with pair(tmp_path, explained_file) as both:
            for index in (0, 3):
                assert (await both.front.explain(canvas, index) == evidence[index]).all()

    asyncio.run(scenario())


def test_results_that_are_larger_than_their_region_have_memory_of_their_own(
    tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "row_bytes", lambda model: 0)  # as for outputs whose shape is not fixed
    model = Classifier(model_file, "cpu")
    canvas = mosaic(4, 1, 8, 8)
    outputs = model.predict(canvas[None])
    assert sum(table.nbytes for table in outputs.columns.values()) > canvas.nbytes

    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            assert ((await both.front.predict([canvas[None]])).logits == outputs.logits).all()

    asyncio.run(scenario())


def test_a_cancelled_request_leaves_the_queue_and_its_memory(tmp_path: Path, model_file: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            front, batcher = both.front, both.engine.inference.batcher
            begun, held = asyncio.Event(), asyncio.Event()

            async def held_up(*_: object) -> list[object]:
                begun.set()
                await held.wait()
                raise RuntimeError("held up")

            batcher.compute = held_up  # type: ignore[assignment]
            first = asyncio.ensure_future(front.predict([mosaic(4, 1, 8, 8)[None]]))
            await begun.wait()
            others = [asyncio.ensure_future(front.predict([mosaic(4, 1, 8, 8)[None]])) for _ in range(5)]
            async with asyncio.timeout(10):
                while front.waiting_size != 5:
                    await asyncio.sleep(0.001)
                assert front.waiting == {"": 5}
                for other in others:
                    other.cancel()
                while front.waiting_size or len(front.pending) > 1:
                    await asyncio.sleep(0.001)
            held.set()
            with pytest.raises(BatchFailed, match="held up"):
                await first
            assert front.arena is not None
            assert not front.pending
            assert len(front.arena.free) == 1

    asyncio.run(scenario())


def test_what_has_no_room_is_refused(tmp_path: Path, model_file: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path, model_file, Settings(queue=32)) as both:
            front = both.front
            with pytest.raises(Problem, match="images are waiting already") as caught:
                await front.predict([mosaic(4, 1, 8, 8)[None]] * 65)
            assert (caught.value.status, caught.value.code) == (503, "busy")
            assert front.arena is not None
            region = front.arena.allocate(front.arena.size)
            assert region is not None
            with pytest.raises(Problem, match="memory for images of other requests is full"):
                await front.predict([mosaic(4, 1, 8, 8)[None]])
            front.arena.release(region)
            await front.predict([mosaic(4, 1, 8, 8)[None]])

    asyncio.run(scenario())


def test_an_engine_that_ends_fails_what_it_had_and_is_found_again(tmp_path: Path, model_file: Path) -> None:
    async def scenario() -> None:
        async with pair(tmp_path, model_file) as both:
            front = both.front

            ended = asyncio.Event()

            async def held_up(*_: object) -> list[object]:
                await ended.wait()
                return []

            both.engine.inference.batcher.compute = held_up  # type: ignore[assignment]
            lost = asyncio.ensure_future(front.predict([mosaic(4, 1, 8, 8)[None]]))
            await asyncio.sleep(0.05)
            (client,) = both.engine.clients
            client.channel.close()
            with pytest.raises(Problem, match="another is starting") as caught:
                await lost
            assert caught.value.status == 503
            await both.until_known()
            assert [known.model is None for known in both.known] == [False, True, False]
            ended.set()

    asyncio.run(scenario())
