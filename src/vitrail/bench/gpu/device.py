"""What the GPU of a run is: its name, memory, clocks, and the versions of what drives it."""

from pathlib import Path

import torch

from vitrail.bench.gpu.plan import Figures, Plan
from vitrail.bench.gpu.steps import Absent, Steps
from vitrail.bench.gpu.timing import GIB


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    steps.attempt("device", lambda: describe(plan, steps), least=0, most=60)


def describe(plan: Plan, steps: Steps) -> None:
    if plan.device == "cpu":
        steps.row("CPU", "measured", {})
        return
    if not torch.cuda.is_available():
        raise Absent(f"torch {torch.__version__} can use no GPU here")
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
    except pynvml.NVMLError:  # not allowed in some containers, or a part of a GPU
        return {}
