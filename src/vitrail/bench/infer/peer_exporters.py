"""Peers' exporters, run as processes in environments that have them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1] / "peers"


@dataclass(frozen=True)
class Exporter:
    """A peer's exporter: its script, its options, and the environment that runs it."""

    name: str
    script: str
    options: dict[str, Any]
    environment: str | None = None  # a folder below `.peers`; None is our own, which has timm


@dataclass(frozen=True)
class Exported:
    """The file that an exporter wrote, or its error."""

    path: Path
    seconds: float
    versions: dict[str, str]
    error: str | None = None


EXPORTERS = (
    Exporter("timm", "timm_export.py", {"dynamo": False}),
    Exporter("timm, dynamo", "timm_export.py", {"dynamo": True}),
    Exporter("optimum", "optimum_export.py", {"optimize": None}, "export"),
    Exporter("optimum -O2", "optimum_export.py", {"optimize": "O2"}, "export"),
)


def interpreter_of(exporter: Exporter, peers: Path) -> Path:
    """The interpreter of its environment, which may not exist."""
    if exporter.environment is None:
        return Path(sys.executable)
    return peers / exporter.environment / "bin" / "python"


def run_exporter(exporter: Exporter, python: Path, network: dict[str, Any], folder: Path) -> Exported:
    """Run the exporter, which writes `folder`/NAME.onnx."""
    path, note = folder / f"{exporter.name}.onnx", folder / f"{exporter.name}.json"
    job = network | exporter.options | {"output": str(path), "note": str(note)}
    done = subprocess.run(
        [python, "-I", SCRIPTS / exporter.script, json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},  # all weights are passed as a file
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return Exported(path, 0.0, {}, lines[-1] if lines else f"ended with {done.returncode}")
    result = json.loads(note.read_text())
    return Exported(path, result["seconds"], result["versions"])
