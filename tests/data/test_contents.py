"""Contents of every kind of source: in order, recognised elsewhere, and sensitive to every change."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.data import Source, open_source
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS
from vitrail.images.canvas import InputRule

from ..sources import FOLDERS, idx, maps

RULE = InputRule(8)
NAMED = ("digits", "digit-scenes-dense")


@pytest.fixture(params=[*FOLDERS, *NAMED])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The path or name of a data set of each kind."""
    if request.param in NAMED:
        return str(request.param)
    folder = tmp_path / "images"
    folder.mkdir()
    FOLDERS[request.param](folder)
    return str(folder)


def keys(source: Source) -> dict[str, np.ndarray]:
    contents = {part: source.contents(part) for part in PARTS}
    return {part: np.stack([each.images, each.targets], axis=1) for part, each in contents.items()}


def test_contents_have_the_order_and_names_of_the_images(path: str) -> None:
    source = open_source(path, 1)
    for part in PARTS:
        contents, images = source.contents(part), source.read(part, RULE)
        assert contents.names == images.names
        assert len(contents) == len(contents.images) == len(contents.targets) == len(images)
        # Images of one key are one canvas, and the other way round.
        canvases = np.unique(images.images.reshape(len(images), -1), axis=0, return_inverse=True)[1]
        same = np.unique(contents.images, return_inverse=True)[1]
        assert len(set(zip(canvases.ravel().tolist(), same.ravel().tolist(), strict=True))) == len(np.unique(canvases))
        targets = np.unique(images.labels.reshape(len(images), -1), axis=0, return_inverse=True)[1]
        same = np.unique(contents.targets, return_inverse=True)[1]
        pairs = set(zip(targets.ravel().tolist(), same.ravel().tolist(), strict=True))
        assert len({key for _, key in pairs}) == len(pairs)  # equal contents show the same


def test_the_same_set_elsewhere_has_the_same_contents(path: str, tmp_path: Path) -> None:
    first = open_source(path, 2)
    if Path(path).is_dir():
        shutil.copytree(path, tmp_path / "elsewhere" / "images")
        path = str(tmp_path / "elsewhere" / "images")
    again = open_source(path, 2)
    assert first.fingerprint == again.fingerprint
    assert all(np.array_equal(keys(first)[part], keys(again)[part]) for part in PARTS)


def test_a_selection_decides_the_contents(path: str) -> None:
    source = open_source(path, 0)
    draws = [Selection(path, images=20, draw=draw) for draw in (0, 3)]
    names = [[selection.contents(source, part).names for part in PARTS] for selection in draws]
    assert len(names[1][0]) + len(names[1][1]) == 20
    assert names[0][0] != names[1][0]
    assert names[0][2] == names[1][2] == source.read("test", RULE).names


def flip_last_byte(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("kind", FOLDERS)
def test_one_byte_of_one_image_changes_its_key_alone_and_the_fingerprint(kind: str, tmp_path: Path) -> None:
    FOLDERS[kind](tmp_path)
    before = open_source(str(tmp_path), 0)
    was, fingerprint = keys(before), before.fingerprint
    flip_last_byte(tmp_path / "t10k-images-idx3-ubyte" if kind == "idx" else next(tmp_path.rglob("07.png")))
    after = open_source(str(tmp_path), 0)
    changed = sum(int((was[part][:, 0] != keys(after)[part][:, 0]).sum()) for part in PARTS)
    assert changed == 1
    assert all(np.array_equal(was[part][:, 1], keys(after)[part][:, 1]) for part in PARTS) or kind == "maps"
    assert after.fingerprint != fingerprint


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("labels", lambda folder: rewrite(folder / "labels.csv", "07.png,oak;fir", "07.png,fir")),
        ("values", lambda folder: rewrite(folder / "values.csv", "07.png,7", "07.png,8")),
        ("maps", lambda folder: Image.fromarray(np.ones((4, 4), np.uint8)).save(folder / "maps/07.png")),
        ("idx", lambda folder: flip_last_byte(folder / "train-labels-idx1-ubyte")),
    ],
)
def test_another_target_changes_its_key_and_the_fingerprint(
    kind: str, change: Callable[[Path], None], tmp_path: Path
) -> None:
    FOLDERS[kind](tmp_path)
    before = open_source(str(tmp_path), 0)
    was = {
        str(name): pair
        for part in PARTS
        for name, pair in zip(before.contents(part).names, keys(before)[part], strict=True)
    }
    fingerprint = before.fingerprint
    change(tmp_path)
    after = open_source(str(tmp_path), 0)
    now = {
        name: pair for part in PARTS for name, pair in zip(after.contents(part).names, keys(after)[part], strict=True)
    }
    changed = [name for name in was if was[name][1] != now[name][1]]
    assert len(changed) == 1
    assert all(was[name][0] == now[name][0] for name in was)
    assert after.fingerprint != fingerprint


def rewrite(table: Path, old: str, new: str) -> None:
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))


def test_the_order_of_classes_changes_the_fingerprint(tmp_path: Path) -> None:
    maps(tmp_path)
    before = open_source(str(tmp_path), 0).fingerprint
    (tmp_path / "classes.txt").write_text("cell\nground\n")
    assert open_source(str(tmp_path), 0).fingerprint != before


def test_fingerprints_of_published_studies_are_stable() -> None:
    """A study resumes only with the fingerprint in its plan."""
    digits = "0b7e9c3202d7bcd255d6a19a238d3743bf5e320ba74812a6679958a017c55382"
    assert open_source("digits", 0).fingerprint == digits


def test_gzipped_files_have_the_same_contents(tmp_path: Path) -> None:
    idx(tmp_path)
    before = keys(open_source(str(tmp_path), 0))
    for file in list(tmp_path.iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert all(np.array_equal(before[part], keys(open_source(str(tmp_path), 0))[part]) for part in PARTS)
