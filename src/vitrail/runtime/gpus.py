"""The NVIDIA GPUs that this process may use, by the names that CUDA's variable has for them."""

import ctypes
import os
from contextlib import suppress

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them, else by number; none where there is no driver."""
    count, named = gpu_count(), os.environ.get(VISIBLE)
    if named is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in named.split(",") if name.strip()][:count]


def gpu_count() -> int:
    """How many the driver shows to this process."""
    count = ctypes.c_int()
    with suppress(OSError):
        driver = ctypes.CDLL("libcuda.so.1")
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0
