"""An architecture of the user's own, by its class path, through fit, test, export and inspect."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from vitrail.cli import main
from vitrail.errors import ModelError
from vitrail.models import CNN
from vitrail.models.architecture import Architecture, path_of

FAST = ["--config=digits-cnn", "--trainer.max_steps=4", "--trainer.val_check_interval=4", "--data.images=100"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with own_net.py in it, which is not importable otherwise."""
    shutil.copy(Path(__file__).with_name("own_network.py"), tmp_path / "own_net.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    sys.modules.pop("own_net", None)


def fit(*options: str) -> int:
    return main(["fit", *FAST, "--run=run", *options])


def test_an_own_architecture_is_trained_tested_and_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--model.net=own_net.Own", "--model.net.width=4") == 0
    assert main(["test", "--ckpt_path=run/checkpoints/last.ckpt"]) == 0
    assert "359 images" in capsys.readouterr().out
    assert main(["export", "--checkpoint=run/checkpoints/last.ckpt", "--output=model.onnx"]) == 0
    card = next(entry.value for entry in onnx.load("model.onnx").metadata_props if entry.key == "vitrail")
    assert '"class_path": "own_net.Own"' in card.replace('":"', '": "')
    assert main(["inspect", "model.onnx"]) == 0
    assert "Own (width 4)" in capsys.readouterr().out


def test_an_own_architecture_that_cannot_be_imported_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--model.net=own_net.Own") == 0
    sys.modules.pop("own_net")
    sys.path.remove(str(folder))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    capsys.readouterr()
    assert main(["export", "--checkpoint=../run/checkpoints/last.ckpt"]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "own_net.Own, which cannot be imported here (No module named 'own_net')" in error
    assert "run this in the folder where own_net.py is" in error


def test_a_network_without_timms_calls_is_refused_before_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--model.net=own_net.Bare") == 1
    error = capsys.readouterr().err
    assert "Sequential has no forward_features, forward_head, get_classifier" in error
    assert len(error.splitlines()) == 1
    assert not (folder / "run").exists()


def test_vitrails_architectures_are_named_by_their_public_path() -> None:
    assert path_of(CNN) == "vitrail.models.CNN"
    assert Architecture.from_plain(CNN(width=3).to_plain()) == CNN(width=3)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("json.JSONDecoder", "json has no such vitrail.models.Architecture"),
        ("no_such_module.Net", "cannot be imported here"),
        ("Net", "cannot be imported here"),
    ],
)
def test_a_path_to_something_else_is_refused(path: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        Architecture.from_plain({"class_path": path, "init_args": {}})
