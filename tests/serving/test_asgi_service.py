"""What a worker of either service changes in its process before it serves."""

import subprocess
import sys
from pathlib import Path

import pytest

START = """
import sys, warnings
from importlib import import_module
from prometheus_client import values
from uvicorn.config import HTTP_PROTOCOLS

service = import_module(f"vitrail.serving.{sys.argv[1]}").Vitrail
before = values.ValueClass
service.to_asgi()
for module in ("PIL.Image", "numpy"):
    warnings.warn_explicit(f"of {module}", UserWarning, "file", 1, module)
print(before.__name__, values.ValueClass.__name__, HTTP_PROTOCOLS["auto"])
"""


@pytest.mark.parametrize("service", ["service", "gpu_service"])
def test_worker_sets_up_its_process(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = tmp_path / "values"
    values.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(values))  # as BentoML does, for many workers
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    done = subprocess.run([sys.executable, "-c", START, service], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["MmapedValue", "MutexValue", "vitrail.serving.http.protocol:HttpProtocol"]
    assert not list(values.iterdir())  # metrics stay in memory
    assert "UserWarning: of numpy" in done.stderr
    assert "PIL" not in done.stderr  # no warnings about images, which get an error of their own
