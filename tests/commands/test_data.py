"""`vitrail data check`: exit codes, the page's place, JSON, and progress on a terminal alone."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.cli import main


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.random.default_rng([number, len(name), ord(name[0])]).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def test_a_good_set_exits_with_0_and_leaves_a_page(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "images"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("images: classification, 40 images, 2 classes\n")
    assert printed.out.endswith("page: images.check.html\n")
    assert printed.err == ""
    assert "takes this set" in (images.parent / "images.check.html").read_text("utf-8")


def test_a_set_that_fit_refuses_exits_with_1(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "cat/bad.png").write_bytes(b"")
    assert main(["data", "check", "images", "--output", "pages/here.html"]) == 1
    printed = capsys.readouterr().out
    assert "fit refuses\n  - images that do not decode: 1\n      cat/bad.png: the file is empty" in printed
    assert (images.parent / "pages/here.html").is_file()
    assert not (images.parent / "images.check.html").exists()


def test_json_is_one_document_and_no_page(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "cat/bad.png").write_bytes(b"")
    assert main(["data", "check", "images", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["refused"] is True
    assert report["count"] == 41
    (finding,) = (one for one in report["findings"] if one["weight"] == "refused")
    assert finding["kind"] == "corrupt"
    assert finding["examples"] == [{"images": ["cat/bad.png"], "note": "the file is empty"}]
    assert not list(images.parent.glob("*.html"))


def test_progress_is_for_terminals(
    images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_terminal: Callable[[], bool] = lambda: True  # noqa: E731
    monkeypatch.setattr(sys.stderr, "isatty", is_terminal)
    assert main(["data", "check", "images", "--json"]) == 0
    assert capsys.readouterr().err.endswith("\r\x1b[K")


def test_the_command_needs_no_torch_and_no_scikit_learn(images: Path) -> None:
    import subprocess

    code = (
        "import sys\n"
        "from vitrail.cli import main\n"
        "code = main(['data', 'check', 'images'])\n"
        "print(code, [name for name in ('torch', 'sklearn', 'scipy', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=images.parent)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
