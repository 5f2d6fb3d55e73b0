"""`vitrail bench soak`: what is flat, and runs that are shorter than their stretches."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat

import pytest

from vitrail.bench.serve import soak as module
from vitrail.bench.serve.processes import ResourceUsage
from vitrail.bench.serve.soak import MIN_STRETCHES, Measurement, flat, soak, soak_text
from vitrail.errors import UsageError


def test_growing_usage_is_not_flat() -> None:
    def usages(memory: float = 0.0, files: float = 0.0, threads: float = 0.0) -> list[ResourceUsage]:
        """Ten measurements that grow by this much each."""
        sizes = ((int(1e8 + k * memory), int(40 + k * files), int(9 + k * threads)) for k in range(10))
        return [ResourceUsage(*size, processes=2) for size in sizes]

    assert flat(usages())
    assert flat(usages(memory=1e6))  # 4 % from half to half is within the tolerance
    assert not flat(usages(memory=4e6))
    assert not flat(usages(files=1))
    assert not flat(usages(threads=1))
    assert flat([ResourceUsage(10**9, 400, 90, 2), *usages()[1:]])  # the start is not a leak


def test_slow_stretches_still_give_enough_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is over after the first stretch; one measurement alone has no halves to compare."""

    @contextmanager
    def started(*_: object) -> Iterator[None]:
        yield None

    usage = ResourceUsage(10**8, 40, 9, 2)
    monkeypatch.setattr(module, "started", started)
    monkeypatch.setattr(module, "requests", lambda model, seed: [])
    monkeypatch.setattr(module, "measure", lambda *_: Measurement(0.0, 1.0, 1.0, {200: 1}, usage))
    clock = chain([0.0, 0.0], repeat(3600.0))
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    report = soak("model.onnx", 0.1, 1.0, 0, lambda line: None)
    assert len(report.measurements) == MIN_STRETCHES
    assert report.flat
    assert "40 at first, 40 at most" in soak_text(report)


def test_soak_that_is_shorter_than_six_stretches_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 6 stretches"):
        soak("model.onnx", 0.1, 1.1, 0, lambda line: None)
