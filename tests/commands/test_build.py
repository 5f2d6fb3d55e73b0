"""Tests of `vitrail build`: its options reach the build, its folder is served, misuse is one line."""

from pathlib import Path
from typing import Any

import pytest

from vitrail.cli import main
from vitrail.commands import serve
from vitrail.training import build as package


def test_every_option_reaches_the_build(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[Any] = []

    def build(*args: Any, progress: Any) -> Path:
        calls.append(args)
        progress("12:00 left  working")
        return Path("my model")

    def served(args: list[str]) -> int:
        calls.append(args)
        return 0

    monkeypatch.setattr(package, "build", build)
    monkeypatch.setattr(serve, "main", served)
    argv = "build images --output o --minutes 3 --weights w --offline --seed 4 --duplicates allow --corrupt skip"
    assert main([*argv.split(), "--serve", "--port", "3105"]) == 0
    assert calls[0] == ("images", Path("o"), 3.0, Path("w"), True, 4, "allow", "skip")
    assert calls[1] == ["my model", "--port", "3105"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "12:00 left  working",
        "my model: model.onnx, report.html, README.md; next: vitrail serve 'my model'",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nowhere"], "nowhere"),
        (["digits", "--minutes", "0.1"], "--minutes is at least 0.5"),
        (["digits", "--minutes", "nan"], "--minutes is at least 0.5"),
        (["digits", "--weights", "nowhere"], "there is no folder of weights at nowhere"),
    ],
)
def test_misuse_is_one_line(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["build", *options, "--offline"]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
