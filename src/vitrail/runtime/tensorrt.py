"""TensorRT behind onnxruntime: whether it is installed, and the options that keep engine builds out of requests."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LIBRARY = "libnvinfer.so.10"  # what onnxruntime's provider is linked to
LARGEST_BATCH = 32  # the largest bucket of batches


def has_tensorrt() -> bool:
    """Load the library, from the system or from its wheel; onnxruntime then finds it by its name."""
    return any(loads(name) for name in (LIBRARY, *(str(folder / LIBRARY) for folder in wheel_folders())))


def loads(name: str) -> bool:
    try:
        ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def wheel_folders() -> list[Path]:
    """Where the wheel of the libraries lies; Python does not put it on the linker's path."""
    spec = find_spec("tensorrt_libs")
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []


def tensorrt_options(sha256: str, size: int, half: bool) -> dict[str, str]:
    """One engine for batches of 1 to the largest, of canvases of this size, cached for the next start.

    Without the shapes a new batch size would build an engine inside a request, which takes minutes.
    """
    folder = str(engine_folder(sha256))
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
        "trt_fp16_enable": "1" if half else "0",
        "trt_profile_min_shapes": shape(1, size),
        "trt_profile_opt_shapes": shape(LARGEST_BATCH, size),
        "trt_profile_max_shapes": shape(LARGEST_BATCH, size),
    }


@contextmanager
def building_alone(sha256: str) -> Iterator[None]:
    """While no other process builds this engine, or reads a part of it: then it is read from the cache."""
    folder = engine_folder(sha256)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on every system
        yield
        return
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def shape(batch: int, size: int) -> str:
    return f"image:{batch}x{size}x{size}x3"


def engine_folder(sha256: str) -> Path:
    """An engine fits one model file, one TensorRT, one onnxruntime and one kind of GPU."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    versions = [f"{name}-{version_of(name)}" for name in ("tensorrt-cu13", "onnxruntime-gpu")]
    return base / "vitrail" / "tensorrt" / "-".join([sha256[:16], *versions, gpu_name()]).replace(" ", "_")


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "system"


def gpu_name() -> str:
    """The driver's name of the first visible GPU."""
    name = ctypes.create_string_buffer(100)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "none"
    device = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, 100, device):
        return "none"
    return name.value.decode()
