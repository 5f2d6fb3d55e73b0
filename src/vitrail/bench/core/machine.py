"""The machine that a benchmark runs on: hardware, and the load of other programs."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from vitrail.runtime.machine import cpu_name
from vitrail.runtime.providers import usable_cores

PACKAGES = ("vitrail", "torch", "timm", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "openvino", "numpy")


@dataclass(frozen=True)
class Machine:
    """Enough to tell whether two measurements are comparable."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    gpu: str | None


def this_machine(gpu: str | None = None) -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(cpu_name(), usable_cores(), round(memory, 1), platform.platform(), gpu)


@dataclass(frozen=True)
class CpuUsage:
    """CPU seconds used by all programs of this machine and by this process, and wall-clock seconds."""

    system: float | None
    process: float
    wall: float


def cpu_usage(statistics: Path = Path("/proc/stat")) -> CpuUsage:
    """Counted since boot; only differences are meaningful. `system` is None where there is no /proc."""
    used = None
    if statistics.is_file():
        user, nice, system, _idle, _waiting, *interrupts = map(int, statistics.read_text().split()[1:9])
        used = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return CpuUsage(used, process_time(), perf_counter())


def background_load(begin: CpuUsage, end: CpuUsage) -> float | None:
    """How many cores other programs used on average."""
    if begin.system is None or end.system is None:
        return None
    others = (end.system - begin.system) - (end.process - begin.process)
    return max(0.0, others / (end.wall - begin.wall))
