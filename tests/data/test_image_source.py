"""A source of the user's own: its images, its parts, and errors for what it returns."""

import io
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.data import ImageSource, open_source
from vitrail.data.image_source import OwnSource
from vitrail.data.source import PARTS
from vitrail.errors import DamagedImages, DataError
from vitrail.images.canvas import InputRule
from vitrail.models.checkpoint import load_checkpoint

RULE = InputRule(4)
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_source"
FAST = ["--config=digits-cnn", "--config=stripes.yaml", "--trainer.max_steps=2", "--trainer.val_check_interval=2"]


def rgb(index: int) -> np.ndarray:
    return np.full((4, 6, 3), [index, 100, 200], np.uint8)


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


FORMS: dict[str, Callable[[int], Any]] = {
    "array": rgb,
    "image": lambda index: Image.fromarray(rgb(index)),
    "file": lambda index: encoded(Image.fromarray(rgb(index))),
}


@dataclass(frozen=True)
class Plain(ImageSource):
    """Twelve images of one colour each."""

    form: str = "array"

    def columns(self) -> Mapping[str, Sequence[Any]]:
        parts = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
        labels = [["oak"], [], ["fir", "oak"]] * 4
        return {"path": [f"number {i}" for i in range(12)], "labels": labels, "split": parts, "weight": [1, 3] * 6}

    def image(self, index: int) -> Any:
        return FORMS[self.form](index)


@pytest.mark.parametrize("form", FORMS)
def test_images_of_each_form_are_read(form: str) -> None:
    source = OwnSource(Plain(form))
    assert (source.name, source.task, source.classes) == ("Plain", "multilabel", ("fir", "oak"))
    images = source.read("test", RULE)
    assert images.images[:, 3, 2].tolist() == [[10, 100, 200], [11, 100, 200]]
    assert images.labels.tolist() == [[0, 0], [1, 1]]
    assert images.names == ("number 10", "number 11")
    assert np.array_equal(source.whole("val", 1), rgb(9))
    weights = source.weights("train")
    assert weights is not None
    assert weights.tolist() == [0.5, 1.5] * 4
    first = source.encoded("train", 0)
    assert (first is not None) == (form == "file")


@dataclass(frozen=True)
class Grey(ImageSource):
    """Grey gradients with a value each, to be split."""

    count: int = 30
    bright: int = -1

    def columns(self) -> Mapping[str, Any]:
        return {"path": list(range(self.count)), "height": np.arange(self.count) / 2}

    def image(self, index: int) -> np.ndarray:
        return np.full((2, 3 + index), 255 if index == self.bright else index, np.uint8)


def test_contents_and_fingerprint_are_those_of_the_pixels() -> None:
    one, same, other = (OwnSource(source, 1) for source in (Grey(), Grey(bright=-2), Grey(bright=7)))
    assert [len(one.labels(part)) for part in PARTS] == [19, 5, 6]
    assert one.fingerprint == same.fingerprint != other.fingerprint
    changed = [name for part in PARTS for name in changed_names(one, other, part)]
    assert changed == ["7"]
    for part in PARTS:
        numbers = np.array([int(name) for name in one.contents(part).names])
        assert one.read(part, RULE).labels[:, 0].tolist() == (numbers / 2).tolist()


def changed_names(one: OwnSource, other: OwnSource, part: Any) -> list[str]:
    here, there = one.contents(part), other.contents(part)
    assert here.names == there.names
    return [here.names[i] for i in np.flatnonzero(here.images != there.images).tolist()]


@dataclass(frozen=True)
class Wrong(ImageSource):
    """Returns what it is given."""

    returned: Any = None
    table: Mapping[str, Any] = field(default_factory=lambda: {"path": list("abcdef"), "label": list("xyxyxy")})

    def columns(self) -> Mapping[str, Sequence[Any]]:
        return self.table

    def image(self, index: int) -> Any:
        return {"none": None, "float": np.zeros((2, 2)), "alpha": np.zeros((2, 2, 4), np.uint8), "bytes": b"no image"}[
            self.returned
        ]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("none", r"test_image_source\.Wrong\.image returned NoneType: return a Pillow image, uint8 \[height, width\]"),
        ("float", r"returned float64 \(2, 2\)"),
        ("alpha", r"returned uint8 \(2, 2, 4\)"),
    ],
)
def test_what_is_no_image_is_refused(returned: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        OwnSource(Wrong(returned)).read("train", RULE)


def test_damaged_files_are_named_together() -> None:
    with pytest.raises(DamagedImages, match=r"2 image\(s\) do not decode.*: [a-f]: this is not an image that vitrail"):
        OwnSource(Wrong("bytes")).read("train", RULE)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"path": ["a", "b"], "label": ["x"]}, "columns of different lengths: 1, 2"),
        ({"path": ["a", "b", "a"], "label": ["x", "y", ""]}, "Wrong: item 2: 'a' is in item 0 already; item 2: there"),
        ({"path": [], "label": []}, "Wrong has no images in it"),
        ({"path": ["a"], "map": ["b"]}, "has maps, which are files: list them in a manifest"),
    ],
)
def test_faulty_columns_are_refused(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        OwnSource(Wrong("none", table))


class Bare(ImageSource):
    """Is no dataclass, so that its argument is unknown."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def columns(self) -> Mapping[str, Sequence[Any]]:
        return {}

    def image(self, index: int) -> Any:
        return None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Bare("images"), r"Bare cannot be made from its arguments: .*'folder'"),
        (Wrong(Path("images")), "a checkpoint cannot hold the arguments of .*Wrong: Object of type PosixPath"),
    ],
)
def test_arguments_that_no_checkpoint_can_hold_are_refused(source: ImageSource, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        OwnSource(source)


def test_the_documentation_shows_the_example() -> None:
    example = (EXAMPLE / "stripes.py").read_text().partition("\n\n")[2]
    assert example in (EXAMPLE.parents[1] / "docs" / "sources.md").read_text()


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        ({"class_path": "json.JSONDecoder"}, r"json has no such vitrail\.data\.ImageSource"),
        ({"class_path": "no_such_module.Images"}, r"no_such_module\.Images, which cannot be imported here"),
        ({"class_path": "Images"}, "cannot be imported here"),
        ({"init_args": {}}, "has the keys class_path and init_args, not init_args"),
        ({"class_path": "a.B", "init_args": {}, "count": 4}, "not class_path, init_args, count"),
    ],
)
def test_what_is_no_source_is_refused(plain: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        open_source(plain, 0)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example in a working directory, from which alone it can be imported."""
    shutil.copytree(EXAMPLE, tmp_path / "example")
    monkeypatch.chdir(tmp_path / "example")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path / "example"
    sys.modules.pop("stripes", None)


def test_the_example_is_trained_tested_and_refused_elsewhere(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *FAST, "--run=run"]) == 0
    origin, _ = load_checkpoint("run/checkpoints/last.ckpt")
    assert origin.run_data.selection.path == {
        "class_path": "stripes.Stripes",
        "init_args": {"count": 200, "side": 16},
    }
    assert origin.run_data.name == "Stripes"
    assert main(["test", "--ckpt_path=run/checkpoints/last.ckpt"]) == 0
    assert "of 40 images" in capsys.readouterr().out
    for i in range(12):
        file = example / "images" / ("across" if i % 2 else "down") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb(i)).save(file)
    assert main(["test", "--ckpt_path=run/checkpoints/last.ckpt", "--data.path=images"]) == 0
    assert "of 2 images" in capsys.readouterr().out
    source = (example / "stripes.py").read_text()
    (example / "stripes.py").write_text(source.replace("* 200", "* 180"))
    sys.modules.pop("stripes")
    assert main(["test", "--ckpt_path=run/checkpoints/last.ckpt"]) == 1
    assert "40 new or edited" in capsys.readouterr().err
    sys.modules.pop("stripes")
    (example / "stripes.py").unlink()
    assert main(["export", "--checkpoint=run/checkpoints/last.ckpt"]) == 1
    error = capsys.readouterr().err
    assert "names stripes.Stripes, which cannot be imported here (No module named 'stripes')" in error
    assert len(error.splitlines()) == 1
