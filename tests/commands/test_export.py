"""vitrail export: errors of its output."""

from pathlib import Path

import pytest

from vitrail.cli import main


def test_an_unwritable_output_is_one_line(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", "--checkpoint", str(checkpoint), f"--output={tmp_path / 'file' / 'model.onnx'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert str(tmp_path / "file") in line
