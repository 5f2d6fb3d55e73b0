"""Near duplicates: planted copies are found, different images are not paired."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitrail.data.check import near
from vitrail.data.check.near import Pairs, near_pairs
from vitrail.data.check.scan import shrunk

Draw = Callable[[np.random.Generator, int], Image.Image]
FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def textured(random: np.random.Generator, side: int) -> Image.Image:
    """Amplitudes fall with the frequency, as those of photos do."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij"))
    frequency[0, 0] = 1
    waves = np.real(np.fft.ifft2(np.fft.fft2(random.normal(size=(3, side, side))) / frequency**1.5))
    levels = 50 * (waves - waves.mean()) / waves.std() + random.uniform(80, 170)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def drawn(random: np.random.Generator, side: int) -> Image.Image:
    """One to three discs and squares of any colour."""
    image = Image.new("RGB", (side, side), tuple(random.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(random.integers(1, 4)):
        (x, y), r = random.integers(0, side, 2).tolist(), int(random.integers(side // 8, side // 3))
        shape = pen.ellipse if random.random() < 0.5 else pen.rectangle
        shape((x - r, y - r, x + r, y + r), fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


def copy_of(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Resized to 0.5 to 2 times its size, mirrored or not, and encoded anew."""
    side = round(image.width * random.uniform(0.5, 2))
    image = image.resize((side, side), FILTERS[random.integers(len(FILTERS))])
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(50, 96)))
    return Image.open(file).convert("RGB")


def compared(images: list[Image.Image]) -> Pairs:
    return near_pairs(np.stack([shrunk(image) for image in images]), np.array([min(image.size) for image in images]))


def as_set(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def recall_and_others(draw: Draw, side: int, count: int, copies: int) -> tuple[float, int]:
    """The share of planted copies that is found, and the number of other pairs."""
    random = np.random.default_rng(side)
    images = [draw(random, side) for _ in range(count)]
    found = as_set(compared(images + [copy_of(image, random) for image in images[:copies]]))
    planted = {(index, count + index) for index in range(copies)}
    return len(found & planted) / copies, len(found - planted)


@pytest.mark.parametrize("draw", [textured, drawn])
@pytest.mark.parametrize("side", [32, 64])
def test_copies_are_found_and_different_images_are_not_paired(draw: Draw, side: int) -> None:
    recall, others = recall_and_others(draw, side, 600, 150)
    assert recall >= 0.95
    assert others == 0


@pytest.mark.long
@pytest.mark.parametrize("draw", [textured, drawn])
@pytest.mark.parametrize("side", [32, 64])
def test_ten_thousand_different_images_have_at_most_one_pair(draw: Draw, side: int) -> None:
    recall, others = recall_and_others(draw, side, 10_000, 2_000)
    assert recall >= 0.95
    assert others <= 1


def test_tiles_hold_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    images = [textured(random, 32) for _ in range(40)]
    images += [copy_of(image, random) for image in images]
    whole = compared(images)
    assert as_set(whole) == {(index, 40 + index) for index in range(40)}
    monkeypatch.setattr(near, "ROWS", 7)
    monkeypatch.setattr(near, "COLUMNS", 5)
    in_tiles = compared(images)
    assert as_set(in_tiles) == as_set(whole)
    assert len(in_tiles) == 40


def test_colours_alone_tell_images_apart() -> None:
    """Of equal grey, and equal in shape."""

    def disc(ground: tuple[int, int, int]) -> Image.Image:
        image = Image.new("RGB", (64, 64), ground)
        ImageDraw.Draw(image).ellipse((16, 16, 48, 48), fill="black")
        return image

    assert len(compared([disc((200, 60, 80)), disc((30, 150, 50))])) == 0
    assert len(compared([disc((200, 60, 80)), disc((200, 60, 80))])) == 1


def test_blank_and_tiny_images_match_nothing() -> None:
    random = np.random.default_rng(0)
    blank = [Image.new("RGB", (64, 64), (90, 90, 90 + shade)) for shade in (0, 0, 1, 2)]
    tiny = [textured(random, 64).resize((8, 8))] * 2
    assert len(compared(blank + tiny)) == 0


def test_a_set_of_nearly_equal_images_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    thumbnails: NDArray[np.uint8] = np.stack([shrunk(textured(np.random.default_rng(0), 64))] * 50)
    sides = np.full(50, 64)
    assert len(near_pairs(thumbnails, sides)) == 50 * 49 // 2
    assert near_pairs(thumbnails, sides).is_complete
    monkeypatch.setattr(near, "ROWS", 10)
    monkeypatch.setattr(near, "MOST_PAIRS", 100)
    assert not near_pairs(thumbnails, sides).is_complete
