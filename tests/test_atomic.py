"""A failed write leaves the old file, and no draft beside it."""

import ast
import errno
from pathlib import Path

import pytest

from vitrail.atomic import draft_of, write_atomically

from .test_source_tree import modules


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"first")
    with draft_of(path) as draft:
        draft.write_bytes(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("before", [None, b"first"])
def test_a_disk_that_fills_up_leaves_no_draft(
    before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)

    def half(draft: Path, content: bytes) -> None:
        with draft.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(draft))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"second")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == ({"file": before} if before else {})


@pytest.mark.parametrize("about", [(), ("/tmp/spooled",)])
def test_a_full_disk_is_told_of_the_file_that_does_not_fit(about: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever a library says of it: nothing, or a file of its own."""
    path = tmp_path / "file"
    with pytest.raises(OSError, match="No space left") as caught, draft_of(path):
        raise OSError(errno.ENOSPC, "No space left on device", *about)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))


def test_another_fault_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, draft_of(tmp_path / "file"):
        (tmp_path / "source").read_bytes()
    assert caught.value.filename == str(tmp_path / "source")


def test_a_path_that_is_a_folder_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "taken", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def replaces(source: str) -> bool:
    """Whether this source moves a file over another; `str.replace` has two arguments, `Path.replace` has one, and
    `os.replace` is told by its module.
    """
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    methods = [(call.func, len(call.args)) for call in calls if isinstance(call.func, ast.Attribute)]
    moves = {("replace", 1), ("rename", 1), ("rename", 2)}
    return any((method.attr, count) in moves or is_of_os(method) for method, count in methods)


def is_of_os(method: ast.Attribute) -> bool:
    module = method.value.id if isinstance(method.value, ast.Name) else None
    return module == "os" and method.attr in ("replace", "rename", "renames")


def test_there_is_one_atomic_writer() -> None:
    assert [path.name for path in modules() if replaces(path.read_text())] == ["atomic.py"]
    assert replaces("draft.replace(path)")
    assert replaces("os.replace(draft, path)")
    assert replaces("os.rename(draft, path)")
    assert not replaces("text.replace('a', 'b')")
