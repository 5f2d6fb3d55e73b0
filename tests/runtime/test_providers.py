"""onnxruntime on this machine: one wheel, an available provider, and at most the available cores."""

import os
from pathlib import Path

import pytest

from vitrail.errors import ProviderError
from vitrail.runtime import providers as runtime
from vitrail.runtime.providers import (
    PROVIDERS,
    choose_providers,
    exact,
    require_one_onnxruntime,
    session_options,
    usable_cores,
)


@pytest.mark.parametrize(("installed", "reason"), [(False, "not installed"), (True, "both installed")])
def test_exactly_one_onnxruntime_may_be_installed(
    installed: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_one_onnxruntime()
    monkeypatch.setattr(runtime, "is_installed", lambda name: installed)
    with pytest.raises(ProviderError, match=reason):
        require_one_onnxruntime()


def test_at_most_the_available_cores_are_used() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("driver", "expected"), [(False, ["cpu"]), (True, ["cuda", "cpu"])])
def test_auto_chooses_the_gpu_only_with_a_driver(
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


def test_tensorrt_by_name_needs_its_library_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setattr(runtime, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(runtime, "has_tensorrt", lambda: False)
    with pytest.raises(ProviderError, match=r"no libnvinfer.so.10: pip install 'vitrail\[tensorrt\]'"):
        choose_providers("tensorrt")
    assert choose_providers("cuda") == [PROVIDERS["cuda"], PROVIDERS["cpu"]]
    monkeypatch.setattr(runtime, "has_tensorrt", lambda: True)
    assert choose_providers("tensorrt") == [PROVIDERS[name] for name in ("tensorrt", "cuda", "cpu")]
    monkeypatch.setattr(runtime, "has_nvidia_driver", lambda: False)
    with pytest.raises(ProviderError, match="no NVIDIA driver"):
        choose_providers("tensorrt")


def test_each_provider_gets_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    names = [PROVIDERS[name] for name in ("tensorrt", "cuda", "cpu")]
    assert exact(names, {"a": "b"}) == [(names[0], {"a": "b"}), (names[1], {"use_tf32": "0"}), (names[2], {})]


def test_threads_come_from_the_quota_and_do_not_spin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(runtime, "QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))
    for text, cores in [("max 100000", 16), ("150000 100000", 2), ("20000 100000", 1), ("9900000 100000", 16)]:
        quota.write_text(text)
        assert usable_cores() == cores
        options = session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (cores, 1)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
