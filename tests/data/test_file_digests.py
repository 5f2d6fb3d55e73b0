"""Digests of files: SHA-256 of the contents, cached while a file is unchanged, and never stale."""

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from vitrail.data import file_digests
from vitrail.data.file_digests import FileDigests, cache_file
from vitrail.errors import DataError

NAMES = ("a/1.jpg", "a/2.jpg", "b/a name.jpg")
LONG_AGO = 10**18


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three files that were written long ago, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([number]) * 100)
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose contents were read."""
    paths: list[str] = []
    whole = file_digests.read_digest

    def counted(path: str) -> tuple[bytes, file_digests.State | None]:
        paths.append(Path(path).name)
        return whole(path)

    monkeypatch.setattr(file_digests, "read_digest", counted)
    return paths


@pytest.fixture
def written_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been written long before they are hashed."""
    monkeypatch.setattr(file_digests, "TICK", -LONG_AGO)


def expected(root: Path) -> list[bytes]:
    return [sha256((root / name).read_bytes()).digest() for name in NAMES]


def digests(root: Path) -> list[bytes]:
    """As another process reads them."""
    return [row.tobytes() for row in FileDigests(root).of(NAMES)]


@pytest.mark.usefixtures("written_long_ago")
def test_digests_are_those_of_the_contents_and_each_file_is_read_once(root: Path, read: list[str]) -> None:
    assert digests(root) == expected(root)
    assert sorted(read) == ["1.jpg", "2.jpg", "a name.jpg"]
    assert digests(root) == expected(root)
    assert len(read) == 3


@pytest.mark.usefixtures("written_long_ago")
def test_digests_of_all_parts_are_cached(root: Path, read: list[str]) -> None:
    for name in NAMES:
        FileDigests(root).of([name])
    assert digests(root) == expected(root)
    assert len(read) == 3


def test_a_file_written_just_now_is_not_cached(root: Path, read: list[str]) -> None:
    """It may be written again within one tick of the clock, with the same length and time."""
    assert digests(root) == digests(root) == expected(root)
    assert len(read) == 6


@pytest.mark.usefixtures("written_long_ago")
def test_an_edit_that_keeps_length_and_time_is_detected(root: Path) -> None:
    file = root / NAMES[0]
    before, time = digests(root), file.stat().st_mtime_ns
    file.write_bytes(b"x" * 100)
    os.utime(file, ns=(time, time))
    assert file.stat().st_mtime_ns == time
    assert digests(root) == expected(root) != before


@pytest.mark.usefixtures("written_long_ago")
def test_a_replaced_file_of_the_same_length_and_time_is_detected(root: Path, tmp_path: Path) -> None:
    file, other = root / NAMES[0], tmp_path / "other"
    digests(root)
    other.write_bytes(b"x" * 100)
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)
    assert digests(root) == expected(root)


@pytest.mark.usefixtures("written_long_ago")
def test_a_name_that_is_given_twice_is_read_once(root: Path, read: list[str]) -> None:
    digests = FileDigests(root)
    first, second, third = (row.tobytes() for row in digests.of([NAMES[1], NAMES[0], NAMES[1]]))
    assert [second, first, third] == [expected(root)[i] for i in (0, 1, 1)]
    assert [row.tobytes() for row in digests.of(NAMES)] == expected(root)
    assert sorted(read) == ["1.jpg", "2.jpg", "a name.jpg"]


@pytest.mark.usefixtures("written_long_ago")
def test_an_edited_file_replaces_its_entry(root: Path) -> None:
    digests(root)
    (root / NAMES[0]).write_bytes(b"edited")
    assert digests(root) == expected(root)
    entries = file_digests.read_entries(cache_file(root))
    assert sorted(entries.names) == sorted(NAMES)
    assert {row.tobytes() for row in entries.digests} == set(expected(root))


@pytest.mark.usefixtures("written_long_ago")
def test_deleted_files_leave_the_cache(root: Path) -> None:
    digests(root)
    store = cache_file(root)
    assert store is not None
    (root / NAMES[0]).unlink()
    (root / "a/new.jpg").write_bytes(b"new")
    FileDigests(root).of(["a/new.jpg"])
    assert set(file_digests.read_entries(store).names) == {*NAMES[1:], "a/new.jpg"}


@pytest.mark.usefixtures("written_long_ago")
@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_cache_is_ignored(root: Path, damage: bytes | None, read: list[str]) -> None:
    before = digests(root)
    store = cache_file(root)
    assert store is not None
    content = store.read_bytes()
    store.write_bytes(content[: len(content) // 2] if damage is None else damage)
    assert digests(root) == before
    assert len(read) == 6


@pytest.mark.usefixtures("written_long_ago")
def test_a_corrupt_digest_is_not_used(root: Path) -> None:
    before = digests(root)
    store = cache_file(root)
    assert store is not None
    content = bytearray(store.read_bytes())
    place = content.index(before[0])
    content[place] ^= 1
    store.write_bytes(content)
    assert digests(root) == before


@pytest.mark.usefixtures("written_long_ago")
def test_without_a_cache_folder_everything_is_hashed(
    root: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert digests(root) == digests(root) == expected(root)
    assert len(read) == 6


def test_without_a_home_there_is_no_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_file(root) is None
    assert digests(root) == expected(root)


def test_a_file_larger_than_a_block_is_hashed_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "BLOCK", 7)
    (root / NAMES[0]).write_bytes(np.arange(200, dtype=np.uint8).tobytes())
    assert digests(root) == expected(root)


def test_a_file_that_cannot_be_read_is_named(root: Path) -> None:
    (root / NAMES[1]).unlink()
    with pytest.raises(DataError, match=r"2\.jpg cannot be read: No such file"):
        digests(root)
