"""Memory that stays: the same outputs as the session's from it, and copies beside computing, on the CPU's provider."""

import ctypes
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitrail.errors import ModelError
from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.runtime import bound
from vitrail.runtime.bound import AT_ONCE, BUCKETS, BoundGraph, Buffers, Canvases, Table, bucket

CANVASES = np.stack([mosaic(4, seed, 8, 8) for seed in range(70)])
NEAR = 1e-5  # batches of other sizes add up in another order


@pytest.fixture
def model(model_file: Path) -> Classifier:
    return Classifier(model_file, "cpu", 1)


def bound_graph(model: Classifier) -> BoundGraph:
    return BoundGraph(model.session, model.card.input.size, model.task.outputs, "cpu", captures=False)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, 16), (17, 32), (32, 32)])
def test_buckets(count: int, size: int) -> None:
    assert bucket(count) == size
    assert size in BUCKETS


def test_outputs_are_those_of_the_session(model: Classifier) -> None:
    graph, outputs = bound_graph(model), model.task.outputs
    for count in (1, 2, 3, 32, 5, 1, 70):
        expected = model.session.run(outputs, {"image": CANVASES[:count]})
        for actual, table in zip(graph.run(outputs, {"image": CANVASES[:count]}), expected, strict=True):
            assert actual.shape == table.shape
            assert np.abs(actual - table).max() < NEAR


def test_parts_become_one_batch_in_their_order(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "for_canvases", bound_graph(model))
    assert model.batches_at_once == AT_ONCE
    parts = [CANVASES[:1], CANVASES[1:4], CANVASES[4:5]]
    expected = model.session.run(["logits"], {"image": CANVASES[:5]})[0]
    assert np.abs(model.predict_parts(parts).logits - expected).max() < NEAR
    assert np.abs(model.predict(CANVASES[:5]).logits - expected).max() < NEAR
    other = np.stack([mosaic(4, seed, 20, 11) for seed in range(2)])  # the session resizes it
    np.testing.assert_array_equal(model.predict_parts([other]).logits, model.predict(other).logits)


def test_results_stay_when_the_memory_is_used_again(model: Classifier) -> None:
    graph = bound_graph(model)
    first = graph.run_parts([CANVASES[:3]])
    kept = [table.copy() for table in first]
    for _ in range(AT_ONCE):
        graph.run_parts([CANVASES[10:13]])
    for table, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(table, before)


def test_any_number_of_threads_get_their_own_results(model: Classifier) -> None:
    graph = bound_graph(model)
    expected = model.session.run(["logits"], {"image": CANVASES})[0]

    def one(start: int) -> float:
        count = 1 + start % 7
        logits = graph.run_parts([CANVASES[start : start + count]])[model.task.outputs.index("logits")]
        return float(np.abs(logits - expected[start : start + count]).max())

    with ThreadPoolExecutor(12) as pool:
        assert max(pool.map(one, [start % 63 for start in range(400)])) < NEAR


class Recorded:
    """When batches were copied and computed, with a fixed time for each."""

    def __init__(self, graph: BoundGraph, monkeypatch: pytest.MonkeyPatch) -> None:
        self.copies: list[tuple[float, float]] = []
        self.runs: list[tuple[float, float]] = []
        fill, run = Buffers.fill, graph.session.run_with_iobinding
        monkeypatch.setattr(Buffers, "fill", lambda buffers, parts: self.timed(self.copies, fill, buffers, parts))
        computing: Any = SimpleNamespace(run_with_iobinding=lambda *which: self.timed(self.runs, run, *which))
        graph.session = computing

    @staticmethod
    def timed(times: list[tuple[float, float]], work: Callable[..., None], *arguments: Any) -> None:
        begin = time.perf_counter()
        work(*arguments)
        time.sleep(0.02)
        times.append((begin, time.perf_counter()))


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def test_a_batch_is_copied_while_another_is_computed(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = bound_graph(model)
    graph.run_parts([CANVASES[:1]])
    recorded = Recorded(graph, monkeypatch)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda start: graph.run_parts([CANVASES[start : start + 1]]), range(10)))
    assert sum(overlap(copy, run) for copy in recorded.copies for run in recorded.runs) >= 5
    runs = sorted(recorded.runs)
    assert not any(overlap(one, other) for one, other in pairwise(runs))


def test_nothing_is_copied_while_memory_is_prepared(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA would refuse to capture a graph."""
    graph = bound_graph(model)
    graph.run_parts([CANVASES[:1]])
    prepared, spans = BoundGraph.prepared, []

    def slowly(graph: BoundGraph, size: int) -> Any:
        begin = time.perf_counter()
        time.sleep(0.1)
        result = prepared(graph, size)
        spans.append((begin, time.perf_counter()))
        return result

    recorded = Recorded(graph, monkeypatch)
    graph.session = model.session
    monkeypatch.setattr(BoundGraph, "prepared", slowly)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda count: graph.run_parts([CANVASES[:count]]), [1, 1, 4, 1, 1, 1, 1, 1]))
    (span,) = spans
    others = [copy for copy in recorded.copies if not span[0] <= copy[0] <= copy[1] <= span[1]]
    assert not any(overlap(copy, span) for copy in others)
    assert len(recorded.copies) == 8 + 2 * AT_ONCE


def test_a_graph_that_repeats_old_results_is_refused(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one would that was captured with memory which is not there any more."""
    graph, results = bound_graph(model), Buffers.results
    first: list[Sequence[Table]] = []

    def stale(buffers: Buffers) -> Sequence[Table]:
        first.append(results(buffers))
        return first[0]

    monkeypatch.setattr(Buffers, "results", stale)
    with pytest.raises(ModelError, match="a batch of 1 has other results from memory that stays"):
        graph.run_parts([CANVASES[:1]])


def test_each_captured_graph_has_a_number_of_its_own(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    make = bound.run_options

    def noted(graph: int) -> Any:
        numbers.append(graph)
        return make(graph)

    monkeypatch.setattr(bound, "run_options", noted)
    graph = BoundGraph(model.session, 8, model.task.outputs, "cpu", captures=True)
    for size in BUCKETS:
        graph.run_parts([CANVASES[:size]])
    captured = [number for number in numbers if number != bound.UNCAPTURED]
    assert captured == list(range(AT_ONCE * len(BUCKETS)))


def test_pages_are_locked_while_the_memory_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int]] = []

    class Library:
        """As much of CUDA's runtime as is used."""

        def __init__(self, name: str) -> None:
            if name == bound.LIBRARIES[0]:
                raise OSError("not this one")

        @staticmethod
        def cudaHostRegister(address: ctypes.c_void_p, size: ctypes.c_size_t, flags: ctypes.c_uint) -> int:
            calls.append(("lock", size.value))
            return 0

        @staticmethod
        def cudaHostUnregister(address: ctypes.c_void_p) -> int:
            calls.append(("unlock", 0))
            return 0

    assert not bound.lock_pages(np.zeros(10, np.uint8))  # there is no CUDA here
    monkeypatch.setattr(ctypes, "CDLL", Library)
    memory: Canvases = np.zeros((2, 8, 8, 3), np.uint8)
    assert bound.lock_pages(memory)
    assert calls == [("lock", memory.nbytes)]
    del memory
    assert calls[1:] == [("unlock", 0)]
