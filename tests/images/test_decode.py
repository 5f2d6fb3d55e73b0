"""The only decoder: every kind of image as a person sees it, and refusals before anything is decoded."""

import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitrail.errors import CorruptImage, ImageTooLarge, UnsupportedFormat
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.images.decode import decode, decode_upright, fit, open_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Red to the left, blue to the right, a green stripe on top: no two orientations look alike."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    image.paste((0, 255, 0), (0, 0, width, height // 4))
    return image


def smooth(width: int, height: int) -> Image.Image:
    """Soft waves, as a photo has them."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 90 * np.sin(x / (50 + 20 * c) + y / (90 - 20 * c)) for c in range(3)]
    return Image.fromarray(np.stack(waves, axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.array(decode(data))


def at_least(data: bytes, least: int | None) -> Image.Image:
    return decode_upright(open_image(data), None if least is None else (least, least)).pixels


# Where the EXIF standard says that the stored row 0 and column 0 lie: the upright image, as a camera stores it.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: upright[::-1].swapaxes(0, 1),
}


def turned(image: Image.Image, orientation: int) -> tuple[Image.Image, Image.Exif]:
    """The image as a camera in that orientation stores it, and its EXIF block."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.fromarray(np.ascontiguousarray(STORED[orientation](np.array(image)))), exif


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    stored, exif = turned(halves(), orientation)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(pixels(encoded(stored, kind, exif=exif, **options)), np.array(halves()))


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied_at_a_smaller_scale(orientation: int) -> None:
    stored, exif = turned(halves(320, 160), orientation)
    canvas = fit(encoded(stored, "JPEG", quality=95, exif=exif), InputRule(8)).astype(int)
    assert np.abs(canvas - to_canvas(halves(320, 160), InputRule(8))).max() <= 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(pixels(encoded(halves(), exif=exif)), np.array(halves()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "block", [b"garbage", b"II*\x00\xff\xff\xff\xff garbage", b"MM\x00*\x00\x00\x00\x08\xff\xff", b""]
)
def test_a_broken_exif_block_is_ignored(kind: str, block: bytes) -> None:
    data = encoded(halves(), kind, exif=b"Exif\x00\x00" + block)
    assert np.array_equal(pixels(data), pixels(encoded(halves(), kind)))


def test_the_orientation_is_applied_despite_an_invalid_tag() -> None:
    """The maker's name is a rational number, which Pillow cannot write again."""
    make = struct.pack("<HHII", 0x010F, 5, 1, 38)
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    block = b"II*\x00" + struct.pack("<IH", 8, 2) + make + orientation + bytes(4) + struct.pack("<II", 1, 3)
    seen = pixels(encoded(halves(), "PNG", exif=b"Exif\x00\x00" + block))
    assert np.array_equal(STORED[6](seen), np.array(halves()))


def test_the_command_shows_no_warning_of_pillow(model_file: Path, tmp_path: Path) -> None:
    """A truncated EXIF block, and an image over the limit: Pillow warns of both on standard error."""
    (tmp_path / "cut").write_bytes(encoded(halves(), "PNG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff"))
    (tmp_path / "large").write_bytes(png_that_claims(10_000, 10_000))
    command = [sys.executable, "-W", "always", "-m", "vitrail", "classify", str(model_file)]
    done = subprocess.run([*command, "cut", "large"], cwd=tmp_path, capture_output=True, text=True, check=False)
    cut, large = done.stdout.splitlines()
    assert cut.startswith("cut: ")
    assert large == "large: the image is 10000×10000; at most 50,000,000 pixels are decoded"
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF"])
def test_every_lossless_format_is_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(pixels(encoded(halves(), kind, **options)), np.array(halves()))


def test_a_jpeg_is_read() -> None:
    assert np.abs(pixels(encoded(smooth(64, 48), "JPEG", quality=95)).astype(int) - np.array(smooth(64, 48))).max() < 10


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("least", [None, 16])
def test_cmyk_is_converted_to_its_colours(marked: bool, least: int | None) -> None:
    """Adobe's programs store CMYK inverted, with a marker; browsers treat unmarked files as inverted too."""
    data = encoded(Image.new("CMYK", (64, 64), (0, 255, 255, 51)), "JPEG", quality=95)
    marker = data.index(b"\xff\xee")
    assert data[marker + 4 : marker + 9] == b"Adobe"
    if not marked:
        (length,) = struct.unpack(">H", data[marker + 2 : marker + 4])
        data = data[:marker] + data[marker + 2 + length :]
        assert b"Adobe" not in data
    colour = np.array(at_least(data, least))[8, 8].astype(int)
    assert np.abs(colour - (204, 0, 0)).max() <= 3


def test_grey_is_three_equal_channels() -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert np.array_equal(pixels(encoded(image)), np.repeat(np.array(image)[..., None], 3, axis=2))


def test_transparency_is_composited_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert (pixels(encoded(clear)) == 255).all()
    assert (pixels(encoded(half)) == 127).all()
    assert (pixels(encoded(Image.new("LA", (4, 4), (0, 0)))) == 255).all()


def test_a_transparent_palette_colour_is_composited_on_white() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    seen = pixels(encoded(image, transparency=0))
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[3, 3].tolist() == [0, 0, 255]


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (8, 8))
    image.putpixel((3, 2), 1)
    seen = pixels(encoded(image))
    assert seen[2, 3].tolist() == [255, 255, 255]
    assert seen.sum() == 3 * 255


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.array([[0, 255, 256], [32768, 65000, 65535]], np.uint16)
    assert pixels(encoded(Image.fromarray(values)))[..., 0].tolist() == [[0, 0, 1], [128, 253, 255]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_decoded(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (pixels(data) == RED).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_image_is_corrupt(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(CorruptImage, match=f"{kind} image is damaged"):
        decode(data[: int(share * len(data))])


def test_a_palette_that_is_missing_is_corrupt() -> None:
    data = encoded(Image.new("P", (4, 4)))
    place = data.index(b"PLTE") - 4
    (length,) = struct.unpack(">I", data[place : place + 4])
    with pytest.raises(CorruptImage):
        decode(data[:place] + data[place + 12 + length :])


def test_a_png_with_a_broken_checksum_is_corrupt() -> None:
    data = bytearray(encoded(halves()))
    data[data.index(b"IDAT") + 6] ^= 0xFF
    with pytest.raises(CorruptImage):
        decode(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        bytes(range(256)),
        b"<html><body>GIF89a</body></html>",
        b"PK\x03\x04 a zip file",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"8BPS\x00\x01",
        b"SIMPLE  =                    T",
        b"II*\x00\x08\x00\x00\x00",
        b"MM\x00*\x00\x00\x00\x08",
        b"\x00\x00\x00\x18ftypheic",
        b"\x00\x00\x01\x00\x01\x00",
        b"http://127.0.0.1/image.png",
    ],
)
def test_other_formats_are_refused_by_their_first_bytes(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WebP, GIF or BMP"):
        decode(data)


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x08\x00\x00\x00WEBP", b"GIF89a", b"BM"]
)
def test_no_other_decoder_is_tried(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that accepts any data is registered first, and never gets any."""

    def greedy(*_: object) -> Image.Image:
        raise AssertionError("another decoder was asked")

    monkeypatch.setattr(Image, "ID", ["GREEDY", *Image.ID])
    monkeypatch.setitem(Image.OPEN, "GREEDY", (greedy, None))
    with pytest.raises(CorruptImage):
        decode(start + bytes(64))


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\x00" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"),
    [(20_000, 20_000), (10_000, 10_000), (2**31 - 1, 2), (50_000_001, 1), (8_000, 7_000), (50_000_000, 1), (1, 65_536)],
)
def test_too_many_pixels_are_refused_from_the_header(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageTooLarge, match="pixels"):
            decode(png_that_claims(width, height))


@pytest.mark.parametrize("size", [(8_000, 6_250), (65_535, 762)])
def test_exactly_the_limit_is_accepted(size: tuple[int, int]) -> None:
    assert open_image(png_that_claims(*size)).size == size


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises((CorruptImage, ImageTooLarge)):
        decode(png_that_claims(2**31, 2**31))


def test_squash_scales_each_side_independently() -> None:
    canvas = to_canvas(halves(64, 16), InputRule(8))
    assert canvas[0, :3].tolist() == [[0, 255, 0]] * 3
    assert canvas[7, 0].tolist() == list(RED)
    assert canvas[7, 7].tolist() == list(BLUE)


def test_crop_takes_the_central_square() -> None:
    stripes = Image.new("RGB", (40, 10), "white")
    stripes.paste(RED, (15, 0, 25, 10))
    assert (to_canvas(stripes, InputRule(5, "crop")) == RED).all()
    upended = stripes.transpose(Image.Transpose.TRANSPOSE)
    assert (to_canvas(upended, InputRule(5, "crop")) == RED).all()


def test_pad_keeps_everything_and_fills_with_black() -> None:
    canvas = to_canvas(Image.new("RGB", (40, 20), RED), InputRule(8, "pad"))
    assert (canvas[[0, 7]] == 0).all()
    assert (canvas[3:5] == RED).all()
    upended = to_canvas(Image.new("RGB", (20, 40), RED), InputRule(8, "pad"))
    assert np.array_equal(upended, canvas.swapaxes(0, 1))


def test_resizing_weighs_by_a_triangle_as_wide_as_the_scale() -> None:
    """Halved: the two nearest pixels weigh 3/4 each, the next ones 1/4, and the sum is brought to 1."""
    row = np.array([0, 70, 140, 210], np.uint8)
    ramp = np.broadcast_to(row[None, :, None], (4, 4, 3))
    assert to_canvas(Image.fromarray(np.ascontiguousarray(ramp)), InputRule(2))[0, :, 0].tolist() == [50, 160]


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_canvas_is_unchanged(resize: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    assert np.array_equal(fit(encoded(Image.fromarray(noise)), InputRule(24, resize)), noise)


@pytest.mark.parametrize("size", [32, 100, 224])
def test_decoding_at_a_smaller_scale_changes_little(size: int) -> None:
    """The error bound of `fit`: a few grey levels, for a JPEG of eight megapixels."""
    data = encoded(smooth(3264, 2448), "JPEG", quality=90)
    rule = InputRule(size)
    scaled, full = fit(data, rule).astype(int), to_canvas(decode(data), rule).astype(int)
    assert np.abs(scaled - full).max() <= 4
    assert at_least(data, 2 * size).width < 3264


def test_a_jpeg_is_decoded_at_twice_the_canvas_or_more() -> None:
    """Each scale gives other pixels on noise, so the canvas shows which one was decoded."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8))
    data, rule = encoded(noise, "JPEG"), InputRule(40)
    assert [at_least(data, least).width for least in (None, 160, 80, 40)] == [320, 160, 80, 40]
    at = {least: to_canvas(at_least(data, least), rule) for least in (None, 160, 80, 40)}
    assert np.array_equal(fit(data, rule), at[80])
    assert not [least for least in (None, 160, 40) if np.array_equal(at[least], at[80])]


@pytest.mark.parametrize(
    ("resize", "decoded"), [("squash", (1024, 256)), ("crop", (1024, 256)), ("pad", (256, 64)), ("pad", (64, 256))]
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_scale_of_a_jpeg_depends_on_the_resize_rule(
    resize: Any, decoded: tuple[int, int], orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times as wide as high: squashed or cropped its height fills the canvas, padded only a quarter of it."""
    upended = decoded[0] < decoded[1]
    stored, exif = turned(smooth(512, 2048) if upended else smooth(2048, 512), orientation)
    seen: list[tuple[int, int]] = []
    resize_of = Image.Image.resize

    def watched(image: Image.Image, *arguments: Any) -> Image.Image:
        seen.append(image.size)
        return resize_of(image, *arguments)

    monkeypatch.setattr(Image.Image, "resize", watched)
    fit(encoded(stored, "JPEG", exif=exif), InputRule(120, resize))
    assert seen == [(256, 256) if resize == "crop" else decoded]


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(641, 833), (1025, 769)])
def test_edges_stay_in_place_though_sides_are_rounded_up(
    orientation: int, resize: Any, width: int, height: int
) -> None:
    """One pixel more than a multiple of eight: at scale 1/8 the last decoded pixel covers one pixel of the image."""
    image = smooth(width, height)
    stored, exif = turned(image, orientation)
    rule = InputRule(40, resize)
    found = fit(encoded(stored, "JPEG", quality=98, subsampling=0, exif=exif), rule).astype(int)
    assert np.abs(found - to_canvas(image, rule)).max() <= 6  # 11 or more, were they taken for whole


@pytest.mark.parametrize(("width", "height"), [(3000, 8), (8, 3000), (65_534, 100), (100, 65_534)])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_an_oblong_image_is_decoded_without_a_square_around_it(width: int, height: int, resize: Any) -> None:
    """The square of the widest would take 17 GB; red and blue halves are where they belong, a line wide at least."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height) if width > height else (0, height // 2, width, height))
    canvas = fit(encoded(image), InputRule(16, resize))
    if width < height:
        canvas = canvas.swapaxes(0, 1)
    middle = canvas[7] if (canvas[8] == 0).all() else canvas[8]
    assert (middle[:7] == RED).all()
    assert (middle[9:] == BLUE).all()
    filled = (canvas != 0).any(axis=(1, 2)).sum()
    assert filled == (1 if resize == "pad" else 16)


def test_the_bars_of_a_padded_image_are_black_and_its_edges_are_not_darkened() -> None:
    canvas = to_canvas(Image.new("RGB", (90, 50), "white"), InputRule(18, "pad"))
    assert (canvas[4:14] == 255).all()
    assert (canvas[:4] == 0).all()
    assert (canvas[14:] == 0).all()


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"subsampling": 2}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_is_decoded_at_a_smaller_scale(mode: str, options: dict[str, Any]) -> None:
    data = encoded(smooth(803, 607).convert(mode), "JPEG", quality=95, **options)
    rule = InputRule(50)
    assert at_least(data, 100).size == (201, 152)
    assert np.abs(fit(data, rule).astype(int) - to_canvas(decode(data), rule)).max() <= 4


def test_the_first_of_several_images_in_a_jpeg_is_decoded() -> None:
    """As many phones write them: a multi-image file with a small copy after the photo."""
    image = smooth(640, 480)
    data = encoded(image, "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (64, 48))])
    assert at_least(data, 100).size == (160, 120)
    assert np.abs(fit(data, InputRule(50)).astype(int) - to_canvas(image, InputRule(50))).max() <= 4


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says what a process held at its peak")
@pytest.mark.parametrize(("mode", "most"), [("RGB", 5), ("RGBA", 9), ("L", 6), ("LA", 13), ("I;16", 9)])
def test_few_copies_are_made_of_a_large_image(mode: str, most: int, tmp_path: Path) -> None:
    """The peak memory of a separate process, in bytes a pixel; Pillow holds 4 for an RGB, RGBA or LA pixel."""
    for side in (8, 2500):
        Image.new(mode, (side, side)).save(tmp_path / f"{side}.png", compress_level=1)
    code = (
        "import re, sys\nfrom pathlib import Path\n"
        "from vitrail.model_file.card import InputRule\nfrom vitrail.images.decode import fit\n"
        "peaks = []\n"
        "for name in ('8.png', '2500.png'):\n"
        "    fit(Path(sys.argv[1], name).read_bytes(), InputRule(8))\n"
        "    peaks.append(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]))\n"
        "print(1024 * (peaks[1] - peaks[0]) / 2500**2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert 1 < float(done.stdout) < most
