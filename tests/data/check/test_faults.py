"""The images that training cannot use, by part and index."""

import os
from pathlib import Path

from vitrail.data import open_source
from vitrail.data.check.faults import corrupt_images


def test_corrupt_images_are_known_by_part_and_index(plain: Path) -> None:
    (plain / "train/cat/05.jpg").write_bytes(b"")
    (plain / "val/dog/00.jpg").write_bytes((plain / "val/dog/01.jpg").read_bytes()[:500])
    os.symlink("/proc/self/mem", plain / "test/dog/unreadable.jpg")
    source = open_source(str(plain), 0)
    found = corrupt_images(str(plain), source)
    assert found == {
        "train": {5: "the file is empty"},
        "val": {2: "the JPEG image is damaged and does not decode"},
        "test": {4: "cannot be read: Input/output error"},
    }
    assert source.file("val", 2) == plain / "val/dog/00.jpg"
