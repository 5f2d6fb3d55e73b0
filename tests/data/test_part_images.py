"""The images of a part: the same pixels from a file, the store and memory; each file is decoded and checked once."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitrail.data import Digits, Folders
from vitrail.data.forms import Canvas, OwnShape
from vitrail.data.image_store import ImageStore
from vitrail.data.part_images import PartImages
from vitrail.data.source import PARTS
from vitrail.errors import DamagedImages, DataError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import decode, open_image
from vitrail.images.decode_cost import Header

pytestmark = pytest.mark.usefixtures("roomy_disk")
RULE = InputRule(16, "crop")
FORMS = [Canvas(RULE), OwnShape(16)]


@pytest.fixture
def source(tmp_path: Path) -> Folders:
    """20 photos of different shapes, two of them alike."""
    for index in range(20):
        file = tmp_path / "photos" / ("cat" if index % 2 else "dog") / f"{index:02}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(min(index, 18)).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((30 + 3 * min(index, 18), 40), Image.Resampling.BICUBIC).save(file)
    return Folders(tmp_path / "photos")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store", "form", 10**6)


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of each file that is decoded."""
    calls: list[int] = []

    def counting(data: bytes, header: Header | None = None) -> Image.Image:
        calls.append(len(data))
        return open_image(data, header)

    monkeypatch.setattr(sys.modules["vitrail.images.decode"], "open_image", counting)
    return calls


def pixels(images: PartImages) -> list[NDArray[np.uint8]]:
    return [np.array(images[index]) for index in range(len(images))]


def test_parts_that_share_a_store_keep_their_own_images(source: Folders, store: ImageStore) -> None:
    """Rows of one reading of the store are others in the next."""
    parts = [PartImages(source, part, Canvas(RULE), store=store) for part in PARTS]
    assert [images.check() for images in parts] == [{}] * 3
    for images in parts:
        assert np.array_equal(images.together(RULE), source.read(images.part, RULE).images)


@pytest.mark.parametrize("form", FORMS)
def test_kept_images_are_those_of_the_files_and_are_decoded_once(
    form: Canvas | OwnShape, source: Folders, store: ImageStore, decodes: list[int]
) -> None:
    direct = pixels(PartImages(source, "train", form))
    decodes.clear()
    images = PartImages(source, "train", form, store=store)
    assert images.check() == {}
    assert len(decodes) == len(set(source.contents("train").images.tolist()))
    again = PartImages(source, "train", form, store=store)
    assert again.check() == {}
    for one, two, three in zip(direct, pixels(images), pixels(again), strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)
    assert len(decodes) == len(set(source.contents("train").images.tolist()))


def test_all_are_kept_once_they_are_checked_and_there_was_room(
    source: Folders, store: ImageStore, tmp_path: Path
) -> None:
    images = PartImages(source, "train", Canvas(RULE), store=store)
    assert not images.is_kept
    images.check()
    assert images.is_kept
    small = PartImages(source, "train", Canvas(RULE), store=ImageStore(tmp_path / "small", "form", 2000))
    small.check()
    assert not small.is_kept


def test_canvases_are_those_of_evaluation(source: Folders, store: ImageStore) -> None:
    images = PartImages(source, "test", Canvas(RULE), store=store)
    assert np.array_equal(images.together(RULE), source.read("test", RULE).images)
    chosen = np.array([2, 0])
    some = PartImages(source, "test", Canvas(RULE), chosen, store)
    assert np.array_equal(some.together(RULE), source.read("test", RULE, chosen).images)


def test_images_for_crops_have_their_own_shape_and_a_bounded_shorter_side(tmp_path: Path) -> None:
    shapes = {(600, 300): (38, 19), (30, 12): (30, 12), (38, 19): (38, 19), (19, 190): (19, 190), (40, 20): (38, 19)}
    for sides, expected in shapes.items():
        image = np.asarray(Image.effect_noise(sides, 50).convert("RGB"))
        assert OwnShape(16).of_image(image).shape == (expected[1], expected[0], 3)


def test_a_photo_for_crops_is_decoded_at_a_smaller_scale(tmp_path: Path) -> None:
    Image.effect_noise((640, 480), 50).convert("RGB").save(tmp_path / "photo.jpg")
    data = (tmp_path / "photo.jpg").read_bytes()
    half = np.asarray(decode(data, 224))
    assert half.shape == (240, 320, 3)
    assert np.array_equal(OwnShape(224).of_file(data), half)


def test_all_damaged_images_are_named_and_none_is_kept(source: Folders, store: ImageStore) -> None:
    damaged = [source.path / source.contents("train").names[index] for index in (1, 4)]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:200])
    for _ in range(2):
        images = PartImages(Folders(source.path), "train", Canvas(RULE), store=store)
        faults = images.check()
        assert list(faults) == [1, 4]
        assert [fault.split(":")[0] for fault in images.described(faults)] == [str(file) for file in damaged]
    with pytest.raises(DamagedImages, match="2 image"):
        images.together(RULE)


def test_a_file_that_changes_while_images_are_decoded_as_needed_is_refused(source: Folders, tmp_path: Path) -> None:
    without_room = ImageStore(tmp_path / "store", "form", 0)
    images = PartImages(source, "train", Canvas(RULE), store=without_room)
    assert images.check() == {}
    expected = pixels(images)
    file = source.file("train", 3)
    assert file is not None
    Image.new("RGB", (30, 30)).save(file)
    assert np.array_equal(images[2], expected[2])
    with pytest.raises(DataError, match=f"{file.name} has changed since"):
        images[3]


def test_built_in_images_are_not_kept_on_disk(store: ImageStore) -> None:
    source = Digits()
    images = PartImages(source, "val", Canvas(RULE), store=store)
    assert images.check() == {}
    assert np.array_equal(np.stack(pixels(images)), source.read("val", RULE).images)
    assert len(store.stored.entries) == 0


def test_progress_ends_at_the_number_of_decoded_images(source: Folders, store: ImageStore) -> None:
    counts: list[tuple[int, int]] = []
    PartImages(source, "train", Canvas(RULE), store=store).check(lambda *count: counts.append(count))
    assert counts == sorted(counts)
    assert counts[-1] == (len(set(source.contents("train").images.tolist())),) * 2
