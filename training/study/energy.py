"""Energy, where a GPU counts it."""

from functools import cache
from typing import Any


@cache
def gpu() -> Any:
    """The GPU that this process uses, as NVIDIA's library knows it, or None."""
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:  # an old GPU does not count
        return None
    return handle


def joules_now() -> float | None:
    """All that the GPU has used since its driver was loaded; of runs that share it, everybody's."""
    if gpu() is None:
        return None
    import pynvml

    return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu())) / 1000
