"""Folders with maps.csv: maps are resized like their images, never blended, and every error is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.data import open_source
from vitrail.data.maps import map_canvas
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule, Resize, to_canvas
from vitrail.tasks.dense.predictions import IGNORED

from .conftest import Write

LINES = ["path,map,split", *(f"{i}.png,{i}.map.png,{part}" for i, part in enumerate(["train"] * 4 + ["val", "test"]))]
HALVES = np.array([[0, 0, 0, 1, 1, 1]] * 4, np.uint8)


@pytest.fixture
def folder(write: Write) -> Path:
    """Six images whose left half is class 0, ground, and whose right half is class 1, sky."""
    path = write("maps.csv", LINES, 6)
    (path / "classes.txt").write_text("ground\nsky\n")
    for number in range(6):
        Image.fromarray(HALVES).save(path / f"{number}.map.png")
    return path


def test_maps_are_resized_like_their_images(folder: Path) -> None:
    source = open_source(str(folder), 0)
    assert (source.task, source.classes) == ("dense", ("ground", "sky"))
    images = source.read("train", InputRule(8))
    assert images.labels.shape == (4, 8, 8)
    assert images.labels[0].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 8


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("sides", [(7, 12), (12, 7), (24, 24), (5, 60)])
def test_a_class_is_where_its_colour_is(resize: Resize, sides: tuple[int, int]) -> None:
    """An image that shows its own map: far from the border between them, colour and class are the same."""
    width, height = sides
    classes = np.zeros((height, width), np.uint8)
    classes[:, width // 2 :] = 1
    rule = InputRule(24, resize)
    image = to_canvas(Image.fromarray(np.repeat(100 + 100 * classes[..., None], 3, axis=2)), rule)[..., 0]
    actual = map_canvas(Image.fromarray(classes), rule)
    assert set(np.unique(actual)) <= {0, 1, IGNORED}
    assert np.array_equal(actual == IGNORED, image == 0)
    assert (actual[image == 100] == 0).all()
    assert (actual[image == 200] == 1).all()


def test_a_palette_is_read_by_its_numbers(folder: Path) -> None:
    coloured = Image.fromarray(HALVES).convert("P")
    coloured.putdata(HALVES.ravel().tolist())
    coloured.putpalette([200, 0, 0, 0, 200, 0])
    coloured.save(folder / "0.map.png")
    assert open_source(str(folder), 0).read("train", InputRule(6)).labels[0, 0].tolist() == HALVES[0].tolist()


def test_255_is_ignored(folder: Path) -> None:
    Image.fromarray(np.where(HALVES == 1, IGNORED, HALVES)).save(folder / "0.map.png")
    assert open_source(str(folder), 0).read("train", InputRule(6)).labels[0, 0].tolist() == [0, 0, 0, 255, 255, 255]


def test_the_map_of_a_rotated_image_is_upright(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 6)).save(folder / "0.png", exif=exif)
    assert open_source(str(folder), 0).read("train", InputRule(6)).labels[0, 0].tolist() == HALVES[0].tolist()


DAMAGED = {
    "another size": (np.zeros((4, 5), np.uint8), r"line 2: .*0\.map\.png is 5×4, its image 6×4"),
    "a class too many": (np.full((4, 6), 2, np.uint8), r"0\.map\.png has class 2, and classes\.txt ends at 1"),
    "colours": (np.zeros((4, 6, 3), np.uint8), "has pixels of mode RGB"),
    "16 bits": (np.zeros((4, 6), np.uint16), "8 bits a pixel"),
}


@pytest.mark.parametrize(("pixels", "reason"), DAMAGED.values(), ids=DAMAGED.keys())
def test_an_invalid_map_is_refused(pixels: np.ndarray, reason: str, folder: Path) -> None:
    Image.fromarray(pixels).save(folder / "0.map.png")
    with pytest.raises(DataError, match=reason):
        open_source(str(folder), 0).read("train", InputRule(8))


def test_several_damaged_maps_are_named_at_once(folder: Path) -> None:
    for number in (0, 2):
        (folder / f"{number}.map.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"line 2: .*does not decode; line 4: .*does not decode"):
        open_source(str(folder), 0).read("train", InputRule(8))


def test_a_jpeg_map_is_refused(folder: Path) -> None:
    Image.fromarray(HALVES).save(folder / "0.map.png", "JPEG")
    with pytest.raises(DataError, match="is JPEG, which blurs numbers"):
        open_source(str(folder), 0).read("train", InputRule(8))


def test_missing_maps_and_class_names_are_reported_before_any_image_is_read(folder: Path) -> None:
    (folder / "1.map.png").unlink()
    with pytest.raises(DataError, match=r"line 3: there is no map '1\.map\.png'"):
        open_source(str(folder), 0)
    Image.fromarray(HALVES).save(folder / "1.map.png")
    (folder / "classes.txt").write_text("ground\nground\n")
    with pytest.raises(DataError, match="2 to 255 classes, each once"):
        open_source(str(folder), 0)
    (folder / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"needs .*classes\.txt beside it"):
        open_source(str(folder), 0)
