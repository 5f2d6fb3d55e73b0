"""onnxruntime on this machine: one wheel, a provider that is there, no more cores than there are."""

import os

import pytest

from vitrail import runtime
from vitrail.errors import ProviderError
from vitrail.runtime import PROVIDERS, choose_providers, require_one_onnxruntime, usable_cores


@pytest.mark.parametrize(("found", "reason"), [(False, "not installed"), (True, "both installed")])
def test_exactly_one_onnxruntime_may_be_installed(found: bool, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require_one_onnxruntime()
    monkeypatch.setattr(runtime, "is_installed", lambda name: found)
    with pytest.raises(ProviderError, match=reason):
        require_one_onnxruntime()


def test_no_more_cores_are_used_than_there_are() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("driver", "expected"), [(False, ["cpu"]), (True, ["cuda", "cpu"])])
def test_auto_asks_for_the_gpu_only_where_a_driver_is(
    driver: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setattr(runtime, "has_nvidia_driver", lambda: driver)
    assert choose_providers("auto") == [PROVIDERS[name] for name in expected]
    assert choose_providers("cpu") == [PROVIDERS["cpu"]]


def test_a_gpu_by_name_needs_its_wheel_and_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(PROVIDERS.values()))
    with pytest.raises(ProviderError, match="no NVIDIA driver"):
        choose_providers("cuda")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [PROVIDERS["cpu"]])
    with pytest.raises(ProviderError, match=r"vitrail\[gpu\]"):
        choose_providers("cuda")
