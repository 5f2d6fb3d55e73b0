"""Costly files: valid, and decodable where they are small."""

import io

import numpy as np
import pytest
from PIL import Image

from vitrail.bench.serve import bombs
from vitrail.images.decode import decode

SMALL = {
    "webp": bombs.webp(40),
    "png": bombs.deep_png(40),
    "comments": bombs.many_comments(1000),
    "scans": bombs.many_scans(40, 99),
}


@pytest.mark.parametrize("file", SMALL.values(), ids=SMALL.keys())
def test_small_files_decode_to_one_colour(file: bytes) -> None:
    pixels = np.asarray(decode(file))
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) == 1


def test_large_files_have_their_format_and_size() -> None:
    files = {"WEBP": bombs.webp(), "PNG": bombs.deep_png(), "JPEG": bombs.many_scans()}
    for kind, file in files.items():
        with Image.open(io.BytesIO(file)) as image:
            assert (image.format, image.size) == (kind, (7071, 7071))
    assert [len(file) for file in files.values()] == [38, 537_461, 1_219]
    assert files["JPEG"].count(b"\xff\xda") == 99
    assert len(bombs.many_comments()) == 19_600_141
    assert bombs.many_comments().count(bombs.COMMENT) == 4_900_000
