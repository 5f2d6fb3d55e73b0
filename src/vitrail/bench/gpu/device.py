"""The GPU of a run: its name, memory, clocks, and driver; and time and memory of work on it."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from vitrail.bench.core.rounds import MedianInterval, median_interval
from vitrail.bench.gpu.plan import Device, Figures, Plan
from vitrail.bench.gpu.steps import Absent, Steps

WARM_UP = 3
GIB = 2**30


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    steps.attempt("device", lambda: describe(plan, steps), min_seconds=0, max_seconds=60)


def describe(plan: Plan, steps: Steps) -> None:
    if plan.device == "cpu":
        steps.row("CPU", "measured", {})
        return
    if not torch.cuda.is_available():
        raise Absent(f"torch {torch.__version__} finds no GPU")
    properties = torch.cuda.get_device_properties(0)
    facts: Figures = {
        "memory_gib": properties.total_memory / GIB,
        "multiprocessors": float(properties.multi_processor_count),
        "compute_capability": properties.major + properties.minor / 10,
        "torch_cuda": float(torch.version.cuda or 0),
    }
    steps.row(properties.name, "measured", facts | driver_facts())


def driver_facts() -> Figures:
    """Clocks, power limit and driver, where NVIDIA's library for Python is installed."""
    try:
        import pynvml
    except ImportError:
        return {}
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        driver = pynvml.nvmlSystemGetDriverVersion()
        return {
            "driver": float(".".join(str(driver).split(".")[:2])),
            "sm_mhz": float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
            "most_sm_mhz": float(pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)),
            "power_limit_w": pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        }
    except pynvml.NVMLError:  # refused in some containers, and for a part of a GPU
        return {}


def seconds_per_call(step: Callable[[], Any], device: Device, turns: int, seconds: float) -> MedianInterval:
    """Of one call: the median of `turns` turns, each of as many calls as fit into `seconds`."""
    for _ in range(WARM_UP):
        step()
    once = turn(step, device, 1)
    calls = max(1, round(seconds / max(once, 1e-6)))
    return median_interval(turn(step, device, calls) for _ in range(turns))


def turn(step: Callable[[], Any], device: Device, calls: int) -> float:
    """Seconds a call. A GPU works on after a call has returned, so its events are taken, and waited for."""
    if device == "cpu":
        begin = perf_counter()
        for _ in range(calls):
            step()
        return (perf_counter() - begin) / calls
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    for _ in range(calls):
        step()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1000 / calls


def used_gib(device: Device) -> float:
    """Memory in use on the device, by everything on it: onnxruntime's is not among what torch counts."""
    if device == "cpu":
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free) / GIB


def reset_peak(device: Device) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: Device) -> float:
    return torch.cuda.max_memory_allocated() / GIB if device == "cuda" else 0.0
