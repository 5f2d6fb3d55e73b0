"""nvImageCodec's own libjpeg-turbo in place of Pillow's: the same canvases, and what it is not given or cannot do."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import ExifTags, Image

from vitrail.errors import CorruptImage, UsageError
from vitrail.images import nvimgcodec
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit, read_header
from vitrail.images.golden import mosaic
from vitrail.images.nvimgcodec import MOST, NvImageCodec, takes

RULE = InputRule(224)


@pytest.fixture(scope="module")
def codec() -> NvImageCodec:
    pytest.importorskip("nvidia.nvimgcodec")
    return NvImageCodec(on_cpu=True)


def photo(height: int = 480, width: int = 640, orientation: int = 1, mode: str = "RGB", **options: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.fromarray(mosaic(12, 1, height, width)).convert(mode).save(file, "JPEG", exif=exif, **options)
    return file.getvalue()


class Counting(NvImageCodec):
    """Notes what it decodes."""

    def __init__(self) -> None:
        super().__init__(on_cpu=True)
        self.shapes: list[tuple[int, ...] | None] = []

    def decode(self, data: bytes) -> np.ndarray | None:
        pixels = super().decode(data)
        self.shapes.append(None if pixels is None else pixels.shape)
        return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_canvases_are_pillows(codec: NvImageCodec, orientation: int, resize: str) -> None:
    """It has the same libjpeg-turbo, so that on a CPU they are equal; turned as the file says."""
    rule, counting = InputRule(224, resize), Counting()  # type: ignore[arg-type]
    for subsampling in (0, 1, 2):
        data = photo(299, 401, orientation, quality=90, subsampling=subsampling)
        np.testing.assert_array_equal(fit(data, rule, jpegs=counting), fit(data, rule))
    assert counting.shapes == [(299, 401, 3)] * 3


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (photo(), True),
        (photo(100, 120), False),  # tiny
        (photo(2000, 1900), False),  # Pillow decodes it at half its size
        (photo(mode="L"), False),
        (photo(mode="CMYK"), False),
        (photo(progressive=True), False),
    ],
    ids=["photo", "tiny", "large", "grey", "cmyk", "progressive"],
)
def test_it_is_given_what_is_worth_it(codec: NvImageCodec, data: bytes, taken: bool) -> None:
    assert takes(read_header(data), RULE) == taken
    counting = Counting()
    np.testing.assert_array_equal(fit(data, RULE, jpegs=counting), fit(data, RULE))
    assert len(counting.shapes) == taken


def test_a_long_one_is_left_to_pillow() -> None:
    """Its copy would be more than the memory that was reserved."""
    assert not takes(read_header(photo(400, MOST // 400 + 1)), RULE)


def test_cut_files_are_refused_as_ever(codec: NvImageCodec) -> None:
    data, counting = photo(quality=95), Counting()
    for length in range(2000, len(data) - 2, len(data) // 23):
        with pytest.raises(CorruptImage, match="the JPEG image is damaged and does not decode"):
            fit(data[:length], RULE, jpegs=counting)
    assert set(counting.shapes) == {None}
    assert codec.decode(b"\xff\xd8\xff no image \xff\xd9") is None


def test_what_follows_the_image_does_no_harm(codec: NvImageCodec) -> None:
    for extra in (100, 5000):
        data = photo() + bytes(extra)
        np.testing.assert_array_equal(fit(data, RULE, jpegs=codec), fit(data, RULE))


def test_damaged_files_give_what_pillow_gives(codec: NvImageCodec) -> None:
    """The same canvas, or its refusal: alone it makes an image of most of those that Pillow refuses."""
    random, data, refused, made = np.random.default_rng(0), photo(quality=90), 0, 0
    for _ in range(200):
        damaged = bytearray(data)
        for place in random.integers(20, len(data) - 2, 3):
            damaged[place] = random.integers(256)
        try:
            expected = fit(bytes(damaged), RULE)
        except CorruptImage:
            refused += 1
            with pytest.raises(CorruptImage):
                fit(bytes(damaged), RULE, jpegs=codec)
        else:
            made += 1
            np.testing.assert_array_equal(fit(bytes(damaged), RULE, jpegs=codec), expected)
    assert min(refused, made) > 20


def test_restarts_are_no_damage(codec: NvImageCodec) -> None:
    counting = Counting()
    data = photo(restart_marker_blocks=2)
    np.testing.assert_array_equal(fit(data, RULE, jpegs=counting), fit(data, RULE))
    assert counting.shapes == [(480, 640, 3)]


def test_any_number_of_threads_decode(codec: NvImageCodec) -> None:
    data = [photo(300 + seed, 400) for seed in range(8)]
    expected = [fit(each, RULE) for each in data]
    with ThreadPoolExecutor(8) as pool:
        for number, canvas in enumerate(pool.map(lambda index: fit(data[index % 8], RULE, jpegs=codec), range(80))):
            np.testing.assert_array_equal(canvas, expected[number % 8])


def test_without_it_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvimgcodec, "PACKAGE", "nvidia.there_is_none")
    with pytest.raises(UsageError, match=r"nvImageCodec is not installed: pip install 'vitrail\[nvimgcodec\]'"):
        NvImageCodec()
    monkeypatch.setattr(nvimgcodec, "PACKAGE", "there_is_none.nvimgcodec")
    assert not nvimgcodec.is_installed()
