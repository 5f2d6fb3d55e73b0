"""What a result depends on beside its input: the processor, and the versions of packages."""

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions
from pathlib import Path


def cpu_name(description: Path = Path("/proc/cpuinfo")) -> str:
    """The model as the kernel names it, with its vector extensions; else the bare architecture."""
    if not description.is_file():
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in description.read_text().splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name", platform.machine())
    widest = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_tile") if flag in facts.get("flags", "").split()]
    return f"{name} ({', '.join(widest)})" if widest else name


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of these packages, as far as they are installed."""
    installed = all_versions()
    return {"python": platform.python_version()} | {name: installed[name] for name in packages if name in installed}


@cache
def all_versions() -> dict[str, str]:
    """Of every package, read once: there are hundreds."""
    return {each.name.lower(): each.version for each in distributions()}
