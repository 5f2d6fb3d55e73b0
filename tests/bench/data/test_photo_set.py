"""Photos of the benchmarks: parts and classes, and noise that compresses as photographs do."""

import io
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from vitrail.bench.data.photo_set import NOISES, noise, noise_photo, photographs, write_photo_set
from vitrail.bench.decode.photos import as_jpeg


def test_photo_set_has_parts_two_classes_and_no_two_files_alike(tmp_path: Path) -> None:
    photo = next(noise(48, 32, 0))
    write_photo_set(tmp_path, 6, iter([photo] * 20))
    files = sorted(tmp_path.rglob("*.jpg"))
    counts = {part: sum(part in file.parts for file in files) for part in ("train", "val", "test")}
    assert counts == {"train": 6, "val": 4, "test": 4}
    assert {file.parent.name for file in files} == {"class 0", "class 1"}
    assert len({file.read_bytes() for file in files}) == len(files)
    assert {np.asarray(Image.open(file)).tobytes() for file in files} == {np.asarray(opened(photo)).tobytes()}


def test_photographs_get_one_size(tmp_path: Path) -> None:
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (90, 70), colour).save(tmp_path / name)
    first, second, third = map(opened, islice(photographs(str(tmp_path), 40, 30), 3))
    assert {photo.size for photo in (first, second, third)} == {(40, 30)}
    red, blue, again = (np.asarray(photo).mean((0, 1)).round() for photo in (first, second, third))
    assert red[0] > 250 > blue[0]
    assert np.abs(red - again).max() <= 2  # the first photograph again, at another quality


def test_noise_is_seeded_and_costs_as_much_as_a_photograph() -> None:
    photos = list(islice(noise(64, 48, 3), NOISES + 1))
    assert photos == list(islice(noise(64, 48, 3), NOISES + 1))
    assert len(set(photos)) == NOISES
    assert photos[0] == photos[NOISES]
    bits = 8 * len(as_jpeg(noise_photo(np.random.default_rng(0), 640, 480), 85)) / (640 * 480)
    assert 1.0 < bits < 3.0  # of a pixel: a photograph at quality 85 has 1.5 to 2.5


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))
