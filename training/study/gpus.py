"""The GPUs of this process: their names for `CUDA_VISIBLE_DEVICES`, and the energy counter of the one in use."""

import os
from functools import cache
from typing import Any

import torch

VARIABLE = "CUDA_VISIBLE_DEVICES"
MIG = "MIG-"


def visible_gpus() -> tuple[str, ...]:
    """One name a GPU: a process with the variable set to one name sees that GPU alone."""
    return names_of(os.environ.get(VARIABLE), torch.cuda.device_count())


def names_of(variable: str | None, count: int) -> tuple[str, ...]:
    """Names of the `count` GPUs that CUDA sees with this value of the variable; unset, they are numbered.

    CUDA reads entries up to the first invalid one, such as -1 or a number that is too high, so the visible GPUs are
    the first `count`. Of several MIG instances a process sees only the first, though each can be used alone.
    """
    if variable is None:
        return tuple(map(str, range(count)))
    names = tuple(name.strip() for name in variable.split(","))
    if count and all(name.startswith(MIG) for name in names):
        return names
    return names[:count]


@cache
def nvml_handle() -> Any:
    """NVML's handle of the GPU in use, None without a GPU that counts energy."""
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
    except pynvml.NVMLError:  # not counted by old GPUs
        return None
    return handle


def joules_now() -> float | None:
    """Energy the GPU has used since its driver was loaded, by all processes."""
    if nvml_handle() is None:
        return None
    import pynvml

    return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(nvml_handle())) / 1000
