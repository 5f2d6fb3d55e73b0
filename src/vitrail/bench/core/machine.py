"""What a measurement ran on: a figure without it says nothing."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from time import perf_counter, process_time

from vitrail.runtime.providers import usable_cores

PACKAGES = ("vitrail", "torch", "timm", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy")


@dataclass(frozen=True)
class Machine:
    """Enough to know whether two measurements can be compared at all."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    gpu: str | None


def this_machine(gpu: str | None = None) -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(cpu_name(), usable_cores(), round(memory, 1), platform.platform(), gpu)


@dataclass(frozen=True)
class Work:
    """Seconds of a core: spent by all programs of this machine, by this one, and gone by on the wall."""

    everybody: float | None
    own: float
    wall: float


def cpu_usage(statistics: Path = Path("/proc/stat")) -> Work:
    """Counted since the machine started; only differences mean anything."""
    everybody = None  # where there is no Linux, nobody says
    if statistics.is_file():
        user, nice, system, _idle, _waiting, *interrupts = map(int, statistics.read_text().split()[1:9])
        everybody = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return Work(everybody, process_time(), perf_counter())


def background_load(begin: Work, end: Work) -> float | None:
    """How many cores other programs held on average: what they hold, a measurement does without."""
    if begin.everybody is None or end.everybody is None:
        return None
    others = (end.everybody - begin.everybody) - (end.own - begin.own)
    return max(0.0, others / (end.wall - begin.wall))


def cpu_name(description: Path = Path("/proc/cpuinfo")) -> str:
    """The model as the kernel names it, with what it can do in one instruction; else the bare architecture."""
    if not description.is_file():
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in description.read_text().splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name", platform.machine())
    widest = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_tile") if flag in facts.get("flags", "").split()]
    return f"{name} ({', '.join(widest)})" if widest else name


def installed_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Python's and these packages' versions; those that are not installed are left out."""
    found = {each.name.lower(): each.version for each in distributions()}
    return {"python": platform.python_version()} | {name: found[name] for name in packages if name in found}
