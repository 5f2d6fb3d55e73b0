"""Several engines: who computes what, and what is left when one of them ends; and a real server with two of them."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import psutil
import pytest

from vitrail.errors import VitrailError
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Outputs
from vitrail.serving.engine.inference import Adopt, Loaded
from vitrail.serving.http.problems import Problem
from vitrail.serving.processes.remote import EngineGone, RemoteInference
from vitrail.serving.processes.several_engines import SeveralEngines
from vitrail.serving.settings import Settings

from ...servers import HAND_OVER, PROCESSES, Server, Start, customized
from ..conftest import Encode
from .test_hub import URL, Clients, programs, wait_until

CANVAS = np.zeros((1, 8, 8, 3), np.uint8)
TWO_GPUS = "from vitrail.runtime import gpus\ngpus.gpu_count = lambda: 2\n"


class FakeEngine:
    """What a front sees of an engine; it computes until `ends` is set."""

    def __init__(self, rate: float = 0.01, waiting: int = 0) -> None:
        self.rate, self.waiting_size, self.images = rate, waiting, 0
        self.waiting = {"someone": 3}
        self.model: Any = None
        self.gone: Any = None
        self.adopt: Adopt = lambda loaded: None
        self.computed: list[int] = []
        self.ends = False
        self.closed = False

    async def load(self, limits: Settings, address: str, adopt: Adopt) -> None:
        self.adopt = adopt

    def becomes(self, model: Any, reason: str | None = None, largest: int = 8) -> None:
        self.model = model
        self.adopt(Loaded(model, reason, None, "", largest))

    async def predict(self, blocks: list[Any]) -> Outputs:
        count = sum(map(len, blocks))
        self.images += count
        await asyncio.sleep(0)
        self.images -= count
        if self.ends:
            self.model = None
            raise self.gone("it has ended")
        self.computed.append(count)
        return Outputs({})

    async def close(self) -> None:
        self.closed = True


def of(*engines: FakeEngine) -> SeveralEngines:
    return SeveralEngines([cast(RemoteInference, engine) for engine in engines])


async def loaded(several: SeveralEngines, model: Any, *engines: FakeEngine) -> list[Loaded]:
    known: list[Loaded] = []
    await several.load(Settings(), "", known.append)
    for engine in engines:
        engine.becomes(model)
    return known


def test_work_goes_where_it_is_done_soonest() -> None:
    async def scenario() -> None:
        quick, slow, busy = FakeEngine(0.01), FakeEngine(0.03), FakeEngine(0.01, waiting=1000)
        several = of(quick, slow, busy)
        await loaded(several, object(), quick, slow, busy)
        await asyncio.gather(*(several.predict([CANVAS]) for _ in range(40)))
        assert len(quick.computed) + len(slow.computed) == 40
        assert 28 <= len(quick.computed) <= 32
        assert not busy.computed

    asyncio.run(scenario())


def test_idle_engines_take_turns() -> None:
    async def scenario() -> None:
        engines = [FakeEngine(0.0) for _ in range(3)]
        several = of(*engines)
        await loaded(several, object(), *engines)
        for _ in range(30):
            await several.predict([CANVAS])
        assert [len(engine.computed) for engine in engines] == [10, 10, 10]

    asyncio.run(scenario())


def test_work_of_an_engine_that_ends_is_done_by_another() -> None:
    async def scenario() -> None:
        first, second = FakeEngine(), FakeEngine()
        several = of(first, second)
        await loaded(several, object(), first, second)
        first.ends = True
        await asyncio.gather(*(several.predict([CANVAS]) for _ in range(10)))
        assert (len(first.computed), len(second.computed)) == (0, 10)
        second.ends = True
        with pytest.raises(Problem, match="it has ended") as caught:
            await several.predict([CANVAS])
        assert (caught.value.status, caught.value.code) == (503, "not_ready")

    asyncio.run(scenario())


def test_it_is_ready_while_one_is() -> None:
    async def scenario() -> None:
        first, second = FakeEngine(0.02), FakeEngine(0.02)
        several = of(first, second)
        known = await loaded(several, object())
        first.becomes(None, "no memory")
        assert (known[-1].model, known[-1].reason) == (None, "no memory")
        second.becomes("a model", largest=16)
        assert (str(known[-1].model), known[-1].reason) == ("a model", "1 of 2 engines are not ready: no memory")
        assert several.rate == 0.02
        first.becomes("a model", largest=4)
        assert known[-1] == Loaded("a model", None, None, "", 4)  # type: ignore[arg-type]
        assert several.rate == 0.01
        assert (several.waiting_size, several.waiting, several.capacity) == (0, {"someone": 3}, Settings().queue)
        second.becomes(None, "it has gone")
        assert str(known[-1].model) == "a model"
        first.becomes(None, "this too")
        assert (known[-1].model, known[-1].reason) == (None, "this too")
        await several.close()
        assert first.closed
        assert second.closed

    asyncio.run(scenario())


def test_errors_of_the_model_are_not_tried_elsewhere() -> None:
    async def scenario() -> None:
        class Failing(FakeEngine):
            async def predict(self, blocks: list[Any]) -> Outputs:
                self.computed.append(1)
                raise VitrailError("cannot")

        engines = [Failing(), Failing()]
        several = of(*engines)
        await loaded(several, object(), *engines)
        with pytest.raises(VitrailError, match="cannot"):
            await several.predict([CANVAS])
        assert sum(len(engine.computed) for engine in engines) == 1
        assert isinstance(engines[0].gone("reason"), EngineGone)

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def two(
    start: Start, bentoml_serve: list[str], model_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server for two GPUs on a machine that seems to have them; its engines compute on the CPU."""
    folder = tmp_path_factory.mktemp("gpus")
    paths = customized(folder / "site", TWO_GPUS + HAND_OVER)
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_GPUS="all", PYTHONPATH=paths) as server:
        wait_until(lambda: len(programs(server, "engine")) == 2)
        yield server


def visible(engine: psutil.Process) -> str:
    return engine.environ()["CUDA_VISIBLE_DEVICES"]


def test_each_engine_sees_its_own_gpu(two: Server) -> None:
    assert {visible(engine) for engine in programs(two, "engine")} == {"0", "1"}
    assert len(programs(two, "front")) == max(1, int(PROCESSES["VITRAIL_PROCESSES"])) + 1  # a spare one


def test_both_engines_compute_and_an_ended_one_is_missed_by_nobody(
    two: Server, model_file: Path, encode: Encode
) -> None:
    image = encode()
    expected = Classifier(model_file, "cpu").classify(image)[0].probability
    used = {engine.pid: engine.cpu_times().user for engine in programs(two, "engine")}
    with Clients(two, image) as clients:
        clients.wait_for_answers()
        wait_until(lambda: all(engine.cpu_times().user > used[engine.pid] for engine in programs(two, "engine")))
        (victim,) = (engine for engine in programs(two, "engine") if visible(engine) == "1")
        victim.kill()
        clients.wait_for_answers(since=len(clients.results))
        wait_until(lambda: any(visible(each) == "1" and each.pid != victim.pid for each in programs(two, "engine")))
        clients.wait_for_answers(since=len(clients.results))
    assert set(clients.results) == {200}
    assert clients.slowest < 5
    body = httpx.post(two.url + URL, content=image, headers={"content-type": "image/png"}).json()
    assert body["predictions"][0]["labels"][0]["probability"] == pytest.approx(expected, abs=1e-3)
    assert re.search(r"engine1 \(process \d+\) has ended; another starts", two.read_log())
    wait_until(lambda: httpx.get(f"{two.url}/readyz").json()["reason"] == "provider 'auto' found no GPU that "
               "onnxruntime can use")  # fmt: skip
