"""Exporters of peers, run as processes."""

import sys
from pathlib import Path

import pytest

from vitrail.bench.infer.peer_exporters import EXPORTERS, SCRIPTS, Exporter, interpreter_of, run_exporter


def test_every_exporter_has_its_script() -> None:
    assert all((SCRIPTS / each.script).is_file() for each in EXPORTERS)


def test_failed_script_returns_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrail.bench.infer.peer_exporters.SCRIPTS", tmp_path)
    (tmp_path / "x.py").write_text("raise SystemExit('nothing to export')")
    done = run_exporter(Exporter("x", "x.py", {}), Path(sys.executable), {}, tmp_path)
    assert done.error is not None
    assert "nothing to export" in done.error


@pytest.mark.long
def test_failed_exporter_returns_its_error(tmp_path: Path) -> None:
    timm = EXPORTERS[0]
    job = {"name": "no_such_network", "size": 32, "classes": 10, "weights": "none"}
    done = run_exporter(timm, interpreter_of(timm, tmp_path), job, tmp_path)
    assert done.error is not None
    assert "no_such_network" in done.error


def test_exporter_runs_in_its_own_environment() -> None:
    assert interpreter_of(Exporter("x", "x.py", {}), Path("p")) == Path(sys.executable)
    assert interpreter_of(Exporter("x", "x.py", {}, "export"), Path("p")) == Path("p/export/bin/python")
