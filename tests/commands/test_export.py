"""vitrail export: its options, and errors of its output."""

from pathlib import Path

import pytest

from vitrail.cli import main
from vitrail.errors import ParityError
from vitrail.exporting.precision import Choice, Scales


def test_the_loss_that_is_allowed_is_in_points(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed: list[tuple[Choice, float]] = []

    def refuse(precision: Choice, scales: Scales, progress: object) -> None:
        allowed.append((precision, scales.max_loss))
        raise ParityError("far enough")

    monkeypatch.setattr("vitrail.exporting.model_file.choose", refuse)
    options = [f"--output={tmp_path / 'model.onnx'}", "--precision=int8", "--max_loss=2"]
    assert main(["export", "--checkpoint", str(checkpoint), *options]) == 1
    assert capsys.readouterr().err == "vitrail: far enough\n"
    assert allowed == [("int8", 0.02)]
    assert not list(tmp_path.iterdir())


def test_an_unwritable_output_is_one_line(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", "--checkpoint", str(checkpoint), f"--output={tmp_path / 'file' / 'model.onnx'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert str(tmp_path / "file") in line
