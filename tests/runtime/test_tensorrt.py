"""TensorRT, as far as a machine without one can test it: its options, and where its libraries lie."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vitrail.errors import UsageError
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import check_golden
from vitrail.runtime import tensorrt
from vitrail.runtime.bound import BUCKETS
from vitrail.runtime.providers import PROVIDERS
from vitrail.runtime.tensorrt import LARGEST_BATCH, building_alone, engine_folder, has_tensorrt, tensorrt_options


def test_one_engine_serves_every_batch_of_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert BUCKETS[-1] == LARGEST_BATCH
    trt_options = tensorrt_options("a" * 64, 224, half=False)
    assert trt_options["trt_profile_min_shapes"] == "image:1x224x224x3"
    assert trt_options["trt_profile_max_shapes"] == "image:32x224x224x3"
    assert trt_options["trt_engine_cache_path"] == str(engine_folder("a" * 64))
    assert (trt_options["trt_fp16_enable"], tensorrt_options("a" * 64, 224, half=True)["trt_fp16_enable"]) == ("0", "1")


def test_an_engine_is_cached_by_model_versions_and_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tensorrt, "gpu_name", lambda: "NVIDIA H200")
    first = engine_folder("a" * 64)
    assert first.is_relative_to(tmp_path)
    assert first.name.endswith("NVIDIA_H200")
    assert engine_folder("b" * 64) != first
    monkeypatch.setattr(tensorrt, "version_of", lambda package: "10.99")
    assert engine_folder("a" * 64) != first


def test_the_library_is_searched_in_its_wheel_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(tensorrt, "wheel_folders", lambda: [tmp_path])

    def loads(name: str) -> bool:
        loaded.append(name)
        return name.startswith("/")

    monkeypatch.setattr(tensorrt, "loads", loads)
    assert has_tensorrt()
    assert loaded == ["libnvinfer.so.10", str(tmp_path / "libnvinfer.so.10")]


def test_tensorrt_is_checked_on_canvases_only(model_file: Path) -> None:
    model = Classifier(model_file, "cpu")
    parts = [part.name for part in check_golden(model).parts]
    model.provider = PROVIDERS["tensorrt"]
    with pytest.raises(UsageError, match="canvases of 8×8"):
        model.predict(np.zeros([1, 9, 8, 3], np.uint8))
    there = check_golden(model)
    assert there.passed
    assert [part.name for part in there.parts] == [name for name in parts if "resized" not in name]


def test_one_process_at_a_time_builds_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of several GPUs start at the same time, and share the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entered: list[str] = []

    def build(name: str) -> None:
        with building_alone("a" * 64):
            entered.append(name)
            time.sleep(0.05)
            entered.append(name)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(build, "abc"))
    assert entered[::2] == entered[1::2]
    with building_alone("b" * 64):  # another file's
        build("d")
