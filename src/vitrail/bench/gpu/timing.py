"""Seconds of work on a device: after warming up, over many calls, from the device's own clock where it has one."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

from vitrail.bench.core.rounds import MedianInterval, median_interval
from vitrail.bench.gpu.plan import Device

WARM_UP = 3
GIB = 2**30


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
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
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
