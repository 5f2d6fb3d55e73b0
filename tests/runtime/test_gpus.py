"""Which GPUs a process may use, without one: the driver is a stand-in."""

import ctypes
from collections.abc import Callable
from typing import cast

import onnxruntime
import pytest

from vitrail.errors import UsageError
from vitrail.runtime import gpus
from vitrail.runtime.gpus import VISIBLE, gpu_count, visible_gpus
from vitrail.runtime.providers import Provider
from vitrail.serving import settings


class Driver:
    """As much of CUDA's driver as is used."""

    def __init__(self, count: int, result: int = 0) -> None:
        self.count, self.result = count, result

    def cuInit(self, flags: int) -> int:
        return self.result

    def cuDeviceGetCount(self, count: "ctypes._Pointer[ctypes.c_int]") -> int:
        count._obj.value = self.count  # type: ignore[attr-defined]
        return 0


@pytest.fixture
def with_gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv("VITRAIL_PROVIDER", "auto")
    return lambda count: monkeypatch.setattr(gpus, "gpu_count", lambda: count)


def test_they_are_counted_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_count() == 0  # there is none here
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(3))
    assert gpu_count() == 3
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(3, result=100))  # no device
    assert gpu_count() == 0


@pytest.mark.parametrize(
    ("named", "names"), [(None, ["0", "1"]), ("3, 1", ["3", "1"]), ("GPU-a1,GPU-b2,", ["GPU-a1", "GPU-b2"]), ("", [])]
)
def test_names_are_those_of_cudas_variable(
    with_gpus: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, named: str | None, names: list[str]
) -> None:
    with_gpus(2)
    if named is not None:
        monkeypatch.setenv(VISIBLE, named)
    assert visible_gpus() == names


@pytest.mark.parametrize(("text", "names"), [(None, []), ("1", []), ("2", ["0", "1"]), ("all", ["0", "1", "2"])])
def test_as_many_compute_as_are_set(
    with_gpus: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, text: str | None, names: list[str]
) -> None:
    with_gpus(3)
    if text is not None:
        monkeypatch.setenv("VITRAIL_GPUS", text)
    assert settings.gpus() == names
    assert settings.read().gpus == max(1, len(names))


@pytest.mark.parametrize(
    ("count", "text", "provider", "reason"),
    [
        (1, "2", "auto", "VITRAIL_GPUS is '2', and this machine has 1 to use"),
        (0, "all", "cuda", "VITRAIL_GPUS is 'all', and this machine has none to use"),
        (2, "2", "cpu", "VITRAIL_GPUS is '2', and the provider cpu, which uses none"),
        (2, "0", "auto", "VITRAIL_GPUS is '0'; it must be a whole number or all, from 1 to 16"),
        (2, "both", "auto", "VITRAIL_GPUS is 'both'; it must be a whole number or all, from 1 to 16"),
    ],
)
def test_what_cannot_be_is_refused(
    with_gpus: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    text: str,
    provider: str,
    reason: str,
) -> None:
    with_gpus(count)
    monkeypatch.setenv("VITRAIL_GPUS", text)
    monkeypatch.setenv("VITRAIL_PROVIDER", provider)
    with pytest.raises(UsageError, match=reason):
        settings.read()
    monkeypatch.delenv("VITRAIL_PROVIDER")
    with pytest.raises(UsageError, match=reason):
        settings.gpus(cast(Provider, provider))


def test_an_onnxruntime_for_cpus_is_refused(with_gpus: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else as many processes as GPUs would compute on the same cores."""
    with_gpus(2)
    monkeypatch.setenv("VITRAIL_GPUS", "all")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UsageError, match=r"this onnxruntime uses none: pip install 'vitrail\[gpu\]'"):
        settings.gpus()
