"""onnxruntime on this machine: which wheel, which provider, how many cores."""

import ctypes
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from vitrail.errors import ModelError, ProviderError, UsageError, VitrailError
from vitrail.runtime.openvino import OPENVINO, require_openvino
from vitrail.runtime.tensorrt import LIBRARY, has_tensorrt

if TYPE_CHECKING:
    import onnxruntime as ort

Provider = Literal["auto", "cpu", "openvino", "openvino-bf16", "cuda", "cuda-tf32", "tensorrt"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
TF32 = {"cuda-tf32": "CUDAExecutionProvider TF32"}  # provider → its name beside onnxruntime's
GPU_PROVIDERS: tuple[Provider, ...] = ("cuda", "cuda-tf32", "tensorrt")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def require_one_onnxruntime() -> None:
    """The CPU and the GPU wheel overwrite each other's files: exactly one may be installed."""
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if is_installed(name)]
    if not installed:
        raise ProviderError("onnxruntime is not installed: pip install 'vitrail[cpu]' or 'vitrail[gpu]'")
    if len(installed) == 2:
        raise ProviderError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: "
            "pip uninstall both, then install one (vitrail[cpu] or vitrail[gpu])"
        )


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def choose_providers(provider: Provider) -> list[str]:
    """onnxruntime's names for the provider; `auto` takes the GPU where the wheel and the driver have one.

    TensorRT is never chosen by `auto`: its first start takes minutes. Operators it lacks run on CUDA. Beside OpenVINO,
    onnxruntime on the CPU computes what is no canvas.
    """
    import onnxruntime as ort

    if provider not in get_args(Provider):
        raise UsageError(f"provider '{provider}' is unknown; known are {', '.join(get_args(Provider))}")
    available = ort.get_available_providers()
    cuda, cpu = PROVIDERS["cuda"], PROVIDERS["cpu"]
    has_gpu = cuda in available and has_nvidia_driver()
    if provider in GPU_PROVIDERS:
        require_gpu(provider, PROVIDERS.get(provider, cuda) in available)
    if provider in OPENVINO:
        require_openvino(provider)
    if provider in ("cpu", *OPENVINO) or (provider == "auto" and not has_gpu):
        return [cpu]
    ort.preload_dlls()
    return [PROVIDERS["tensorrt"], cuda, cpu] if provider == "tensorrt" else [cuda, cpu]


def require_gpu(provider: Provider, in_wheel: bool) -> None:
    """Check what a provider requested by name needs; the first missing part is the error."""
    request = f"provider '{provider}' was requested, but"
    if not in_wheel:
        raise ProviderError(f"{request} this onnxruntime has none: pip install 'vitrail[gpu]'")
    if not has_nvidia_driver():
        raise ProviderError(f"{request} this machine has no NVIDIA driver")
    if provider == "tensorrt" and not has_tensorrt():
        raise ProviderError(f"{request} there is no {LIBRARY}: pip install 'vitrail[tensorrt]'")


def has_cuda_provider() -> bool:
    """Whether the installed onnxruntime is one for GPUs."""
    import onnxruntime as ort

    return PROVIDERS["cuda"] in ort.get_available_providers()


def has_nvidia_driver() -> bool:
    """Whether CUDA can work at all; onnxruntime would load a GB of libraries to find that out."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def open_session(
    model: Path | bytes,
    provider: Provider = "auto",
    threads: int | None = None,
    options: Mapping[str, str] | None = None,
) -> "ort.InferenceSession":
    """Load an ONNX file for a provider; an error where onnxruntime silently falls back to another.

    `options` are those of the provider, as onnxruntime names them.
    """
    require_one_onnxruntime()
    import onnxruntime as ort

    try:
        providers = exact(choose_providers(provider), options, tf32=provider in TF32)
        source = model if isinstance(model, bytes) else str(model)
        session = ort.InferenceSession(source, session_options(threads), providers=providers)
    except load_faults() as fault:
        name = "the graph" if isinstance(model, bytes) else model
        raise ModelError(
            f"{name} is not an ONNX file that onnxruntime can load: it may be cut short, or no model"
        ) from fault
    actual, wanted = session.get_providers()[0], "cuda" if provider in TF32 else provider
    if wanted in PROVIDERS and actual != PROVIDERS[wanted]:
        raise ProviderError(
            f"provider '{provider}' was requested, but onnxruntime fell back to {actual}: "
            "check the GPU's driver and CUDA libraries, or use --provider auto"
        )
    return session


def exact(
    providers: list[str], options: Mapping[str, str] | None = None, *, tf32: bool = False
) -> list[tuple[str, dict[str, str]]]:
    """With `options` of the first, and without TF32: its 10 bits of mantissa would be taken silently for float32's 23.

    `tf32` allows it.
    """
    if PROVIDERS["tensorrt"] in providers:
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # onnxruntime has no option for it there
    of_provider = {name: {"use_tf32": str(int(tf32))} if name == PROVIDERS["cuda"] else {} for name in providers}
    of_provider[providers[0]] |= options or {}
    return list(of_provider.items())


def session_options(threads: int | None = None, *, spinning: bool = False) -> "ort.SessionOptions":
    """All cores this process may use; waiting threads sleep, since spinning ones starve other processes."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # one is kept for each size of batch (60 MB, ViT-Tiny to 16), for no time gained
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    return options


def load_faults() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that it cannot load, which share no base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.NoModel,
            state.NotImplemented, state.RuntimeException)  # fmt: skip


def run_faults() -> tuple[type[Exception], ...]:
    """What a run may raise, whichever runtime computes."""
    return (VitrailError, *load_faults())


def usable_cores() -> int:
    """Cores this process may use: the scheduler's set, cut by the container's quota."""
    cores = len(os.sched_getaffinity(0))
    if QUOTA.is_file():
        limit, period = QUOTA.read_text().split()
        if limit != "max":
            cores = min(cores, ceil(int(limit) / int(period)))
    return max(1, cores)
