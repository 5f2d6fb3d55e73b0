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
    """A peer's exporter: the script that calls it, what it is told beside the network, and whose Python runs it."""

    name: str
    script: str
    options: dict[str, Any]
    environment: str | None = None  # a folder below `.peers`; None is our own, which has timm anyway


@dataclass(frozen=True)
class Exported:
    """What an exporter wrote, or why it wrote nothing."""

    path: Path
    seconds: float
    versions: dict[str, str]
    fault: str | None = None


EXPORTERS = (
    Exporter("timm", "timm_export.py", {"dynamo": False}),
    Exporter("timm, dynamo", "timm_export.py", {"dynamo": True}),
    Exporter("optimum", "optimum_export.py", {"optimize": None}, "export"),
    Exporter("optimum -O2", "optimum_export.py", {"optimize": "O2"}, "export"),
)


def interpreter_of(exporter: Exporter, peers: Path) -> Path:
    """The interpreter that has this exporter, whether it is there or not."""
    if exporter.environment is None:
        return Path(sys.executable)
    return peers / exporter.environment / "bin" / "python"


def run_exporter(exporter: Exporter, python: Path, network: dict[str, Any], folder: Path) -> Exported:
    """Let the exporter write `folder`/NAME.onnx."""
    path, note = folder / f"{exporter.name}.onnx", folder / f"{exporter.name}.json"
    job = network | exporter.options | {"output": str(path), "note": str(note)}
    done = subprocess.run(
        [python, "-I", SCRIPTS / exporter.script, json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},  # all weights are given: whoever asks for more is wrong
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return Exported(path, 0.0, {}, lines[-1] if lines else f"ended with {done.returncode}")
    said = json.loads(note.read_text())
    return Exported(path, said["seconds"], said["versions"])
