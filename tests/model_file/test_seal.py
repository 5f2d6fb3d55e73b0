"""The seal: it is valid for unchanged files, and a change to any byte breaks it."""

import hashlib
from pathlib import Path

import onnx
import pytest

from vitrail.model_file.seal import KEY, LENGTH, read_seal, seal


def test_a_sealed_file_is_valid_and_still_an_onnx_file(model_file: Path) -> None:
    digest, whole = read_seal(model_file)
    assert whole
    assert digest == hashlib.sha256(model_file.read_bytes()).hexdigest()
    last = onnx.load(model_file).metadata_props[-1]
    assert (last.key, last.value) == (KEY, hashlib.sha256(model_file.read_bytes()[:-LENGTH]).hexdigest())


@pytest.mark.parametrize("place", [0, 1000, -LENGTH - 1, -LENGTH, -1])
def test_a_changed_byte_breaks_it(model_file: Path, tmp_path: Path, place: int) -> None:
    content = bytearray(model_file.read_bytes())
    content[place] ^= 1
    (tmp_path / "changed.onnx").write_bytes(content)
    assert not read_seal(tmp_path / "changed.onnx")[1]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 3_000_000])
def test_files_of_any_length(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read_seal(path) == (hashlib.sha256(content).hexdigest(), False)
    path.write_bytes(seal(content))
    assert read_seal(path)[1]
