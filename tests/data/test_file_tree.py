"""Listing folders: links, loops of them, hidden and unreadable entries, and what a manifest names in vain."""

import os
from pathlib import Path

import pytest

from vitrail.data.file_tree import IMAGES, files_below, folders_in, missing_files
from vitrail.data.names import Names
from vitrail.errors import DataError


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_images_are_sorted_folder_by_folder(tmp_path: Path) -> None:
    fill(tmp_path, "b.png", "a/2.JPG", "a/1.webp", "a.png", "a/c/3.gif", "notes.txt", "a/data.csv")
    assert files_below(tmp_path) == ["a/1.webp", "a/2.JPG", "a/c/3.gif", "a.png", "b.png"]
    assert files_below(tmp_path) == [path.relative_to(tmp_path).as_posix() for path in in_order(tmp_path)]
    assert folders_in(tmp_path) == ("a",)


def in_order(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if IMAGES.has(path.name)]


def test_what_is_hidden_holds_no_images(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "._1.png", ".ipynb_checkpoints/1-checkpoint.png")
    assert files_below(tmp_path) == ["1.png"]
    assert folders_in(tmp_path) == ()


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    fill(tmp_path, "set/cat/1.png", "set/dog/5.png", "elsewhere/2.png", "elsewhere/deep/3.png")
    (tmp_path / "set/cat/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/cat/again").symlink_to(tmp_path / "set")
    (tmp_path / "elsewhere/deep/up").symlink_to("..")
    (tmp_path / "set/cat/4.png").symlink_to(tmp_path / "elsewhere/2.png")
    assert files_below(tmp_path / "set/cat") == ["1.png", "4.png", "more/2.png", "more/deep/3.png"]


def test_a_folder_may_be_called_like_an_image(tmp_path: Path) -> None:
    fill(tmp_path, "burst.png/1.png")
    assert files_below(tmp_path) == ["burst.png/1.png"]


@pytest.mark.parametrize("target", ["nowhere.png", "link.png"], ids=["nothing", "itself"])
def test_links_to_nothing_are_named(target: str, tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png")
    (tmp_path / "cat/link.png").symlink_to(target)
    with pytest.raises(DataError, match=r"links to what is not there: .*cat/link\.png$"):
        files_below(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "cat/1.png", "cat/secret/2.png")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=r"cat/secret cannot be read: Permission denied$"):
        files_below(tmp_path)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (tmp_path / name).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    fill(tmp_path, "叶.png", "لوحة.png")
    assert sorted(files_below(tmp_path)) == sorted([name, "叶.png", "لوحة.png"])
    assert Names.of(files_below(tmp_path)) == files_below(tmp_path)


def test_missing_files_are_found_in_every_folder(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "a/2.png", "a/b/3.png", "real/4.png")
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "5.png").symlink_to("1.png")
    (tmp_path / "6.png").symlink_to("nowhere")
    (tmp_path / "folder.png").mkdir()
    there = ["1.png", "a/2.png", "a/b/3.png", "linked/4.png", "5.png"]
    gone = ["2.png", "a/1.png", "c/1.png", "6.png", "folder.png", "1.png/1.png"]
    assert missing_files(tmp_path, Names.of([*there, *gone])).tolist() == list(range(5, 11))
