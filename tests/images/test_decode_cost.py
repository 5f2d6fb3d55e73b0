"""What decoding costs is known from the header: memory as it is measured, and no file that takes long for its size."""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitrail.bench.serve import bombs
from vitrail.errors import CorruptImage, ImageTooLarge
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit, open_image, read_header
from vitrail.images.decode_cost import (
    MAX_COMPRESSED,
    MAX_EXIF_SEGMENTS,
    MAX_PARTS,
    MAX_RUN_LENGTH,
    MAX_SCANNED,
    Bits,
    Header,
    group_bytes,
)

SIDE = 1200
RULE = InputRule(64)
MOST_OVER = 1.6  # times what is really held; of an image that holds ten megabytes or more

MEASURE = """
import ctypes, json, re, sys
from pathlib import Path
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit

def resident(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

rule = InputRule(64, sys.argv[2])
files = sorted(Path(sys.argv[1]).iterdir())
for file in files:
    if file.name.startswith("small"):
        fit(file.read_bytes(), rule)
peaks = {}
for file in files:
    data = file.read_bytes()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed by the one before is not there to be used again
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    fit(data, rule)
    peaks[file.name] = resident("VmHWM") - before
print(json.dumps(peaks))
"""


def waves(mode: str, width: int = SIDE, height: int = SIDE) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    found = Image.fromarray(np.stack([127 + 90 * np.sin(x / (50 + c) + y / 90) for c in range(3)], axis=2).astype("u1"))
    if mode == "I;16":
        return Image.fromarray(np.asarray(found.convert("L")).astype(np.uint16) * 257)
    if mode in ("LA", "RGBA"):
        found.putalpha(found.convert("L"))
    return found.convert(mode)


def encoded(mode: str, kind: str, sides: tuple[int, int] = (SIDE, SIDE), **options: Any) -> bytes:
    file = io.BytesIO()
    waves(mode, *sides).save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(before: bytes = b"", pixels: bytes | None = None, after: bytes = b"") -> bytes:
    """A small PNG with chunks of one's own."""
    drawn = chunk(b"IDAT", zlib.compress((b"\0" + bytes(24)) * 8))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + (pixels or drawn) + after + chunk(b"IEND", b"")


def deep_png(colours: int, samples: int, interlaced: int) -> bytes:
    """A black PNG of 16 bits a sample, which Pillow does not write; large, for it is squeezed to nothing."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        bytes(1 + 2 * samples * -(-(SIDE - x) // dx)) * -(-(SIDE - y) // dy)
        for x, y, dx, dy in (passes if interlaced else [(0, 0, 1, 1)])
    )
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, colours, 0, 0, interlaced)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def bmp(depth: int, compression: int, body: bytes, width: int, height: int) -> bytes:
    palette = bytes(range(256))[:4] * (1 << depth) if depth <= 8 else b""
    start = 54 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, 0, 0, 0, 0, 0) + palette + body


FEW: dict[str, Callable[[], bytes]] = {
    "jpeg progressive": partial(encoded, "RGB", "JPEG", progressive=True, subsampling=0),
    "png rgb": partial(encoded, "RGB", "PNG", compress_level=1),
    "png rgba": partial(encoded, "RGBA", "PNG", compress_level=1),
    "gif": partial(encoded, "P", "GIF"),
    "webp lossless": partial(encoded, "RGB", "WEBP", lossless=True, quality=0, method=0),
}
MANY: dict[str, Callable[[], bytes]] = {
    **FEW,
    "jpeg": partial(encoded, "RGB", "JPEG"),
    "jpeg wide": partial(encoded, "RGB", "JPEG", (30_000, 300)),
    "jpeg high": partial(encoded, "L", "JPEG", (300, 30_000)),
    "jpeg grey progressive": partial(encoded, "L", "JPEG", progressive=True),
    "jpeg subsampled progressive": partial(encoded, "RGB", "JPEG", progressive=True, subsampling=2),
    "jpeg cmyk": partial(encoded, "CMYK", "JPEG"),
    "jpeg cmyk progressive": partial(encoded, "CMYK", "JPEG", progressive=True),
    "jpeg turned": partial(encoded, "RGB", "JPEG", exif=turned()),
    **{f"png {mode}": partial(encoded, mode, "PNG", compress_level=1) for mode in ("1", "L", "P", "LA", "I;16")},
    "png palette transparent": partial(encoded, "P", "PNG", transparency=3),
    "png grey transparent": partial(encoded, "L", "PNG", transparency=3),
    "png rgb transparent": partial(encoded, "RGB", "PNG", transparency=(1, 2, 3)),
    "png rgb turned": partial(encoded, "RGB", "PNG", exif=turned()),
    "png rgba turned": partial(encoded, "RGBA", "PNG", exif=turned()),
    **{
        f"png 16 {colours} {i}": partial(deep_png, colours, n, i)
        for colours, n in ((0, 1), (2, 3), (6, 4))
        for i in (0, 1)
    },
    "webp": partial(encoded, "RGB", "WEBP", method=0),
    "webp alpha": partial(encoded, "RGBA", "WEBP", method=0),
    "webp alpha lossless": partial(encoded, "RGBA", "WEBP", lossless=True, quality=0, method=0),
    "webp animated": partial(encoded, "RGB", "WEBP", method=0, save_all=True, append_images=[waves("L")]),
    "webp lossless effort": partial(encoded, "RGB", "WEBP", lossless=True, quality=75, method=4),
    "webp lossless palette": partial(encoded, "P", "WEBP", lossless=True, quality=75, method=4),
    "webp turned": partial(encoded, "RGBA", "WEBP", method=0, exif=turned()),
    "gif transparent": partial(encoded, "P", "GIF", transparency=3),
    "gif animated": partial(encoded, "P", "GIF", save_all=True, append_images=[waves("P").rotate(90)], disposal=2),
    **{f"bmp {mode}": partial(encoded, mode, "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")},
    "bmp 4": lambda: bmp(4, 0, bytes((SIDE * 4 + 31) // 32 * 4 * SIDE), SIDE, SIDE),
    "bmp 16": lambda: bmp(16, 0, bytes(SIDE * 2 * SIDE), SIDE, SIDE),
    "bmp run lengths": lambda: bmp(8, 1, (b"\xff\1" * 3 + b"\xeb\2\0\0") * 1000 + b"\0\1", 1000, 1000),
}


def measured(files: dict[str, bytes], resize: str, folder: Path) -> dict[str, int]:
    """By how much a process's resident memory rises at most while it decodes each."""
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP"):
        (folder / f"small {kind}").write_bytes(encoded("RGB", kind, (300, 300)))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), resize], capture_output=True, text=True, check=True
    )
    found: dict[str, int] = json.loads(done.stdout)
    return {name: found[name] for name in files}


def hold_to_what_is_reserved(files: dict[str, bytes], resize: Any, folder: Path) -> None:
    for name, peak in measured(files, resize, folder).items():
        reserved = read_header(files[name]).peak(InputRule(64, resize))
        assert peak <= reserved, f"{name}: {peak:,} bytes are held, {reserved:,} reserved"
        assert reserved <= MOST_OVER * max(peak, 10e6), f"{name}: {peak:,} bytes are held, {reserved:,} reserved"


linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux says what a process held at its peak"
)


@linux
def test_what_is_reserved_is_what_is_held(tmp_path: Path) -> None:
    hold_to_what_is_reserved({name: make() for name, make in FEW.items()}, "squash", tmp_path)


@linux
@pytest.mark.long
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_what_is_reserved_is_what_is_held_by_every_kind(resize: str, tmp_path: Path) -> None:
    hold_to_what_is_reserved({name: make() for name, make in MANY.items()}, resize, tmp_path)


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in sorted(MANY)]
)
def test_the_size_in_the_header_is_the_decoders(name: str) -> None:
    data = MANY[name]()
    header = read_header(data)
    assert open_image(data, header).size == header.size
    assert header.parts <= 300


# The largest image of 50 megapixels at most that 320 MB hold, as docs/http.md says.
LARGEST = {
    "JPEG": (Header("JPEG", (1, 1), "RGB"), 50),
    "GIF, and PNG or BMP of grey or a palette": (Header("PNG", (1, 1), "P"), 50),
    "PNG RGB": (Header("PNG", (1, 1), "RGB"), 50),
    "PNG with transparency": (Header("PNG", (1, 1), "RGBA"), 38),
    "WebP": (Header("WEBP", (1, 1), "WEBP"), 19),
}


def test_the_largest_images_of_the_default_budget_are_those_of_the_docs() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    for name, (header, megapixels) in LARGEST.items():
        side = 0
        while side < 7071 and Header(header.kind, (side + 1, side + 1), header.mode).peak(InputRule(224)) <= 320e6:
            side += 1
        assert (int(side**2 / 1e6) if side < 7071 else 50) == megapixels, name
        assert f"| {name} | {megapixels} MP |" in docs


def jpeg(**options: Any) -> bytes:
    return encoded("RGB", "JPEG", (64, 64), **options)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def gif(blocks: bytes) -> bytes:
    data = encoded("P", "GIF", (8, 8))
    start = 13 + (3 << ((data[10] & 7) + 1))
    return data[:start] + blocks + data[start:]


def webp(chunks: bytes) -> bytes:
    pixels = encoded("RGB", "WEBP", (8, 8), lossless=True)[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\7\0\0\7\0\0" + chunks + pixels
    return b"RIFF" + struct.pack("<I", len(body)) + body


def after_start(data: bytes, more: bytes) -> bytes:
    return data[:2] + more + data[2:]


def between_scans(more: bytes) -> bytes:
    data = jpeg(progressive=True)
    place = data.index(b"\xff\xc4", data.index(b"\xff\xda"))
    return data[:place] + more + data[place:]


def exif_of(entries: int) -> bytes:
    return (
        b"MM\0*\0\0\0\x08"
        + struct.pack(">H", entries)
        + b"".join(struct.pack(">HHII", tag, 4, 1, 0) for tag in range(entries))
    )


def with_scans(scans: int, frame: int = 0xC0, sides: tuple[int, int] = (64, 64)) -> bytes:
    """A JPEG whose first scan draws one of three layers, and the others all, as no encoder writes them."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 1] = frame
    struct.pack_into(">HH", data, at + 5, *sides)
    first = data.index(b"\xff\xda")
    scan = bytes(data[first:-2])
    return bytes(data[:first]) + segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0" + scan * (scans - 1) + b"\xff\xd9"


def coded(*numbers: tuple[int, int]) -> str:
    """Numbers and their counts of bits as a lossless WebP has them: the least significant bit first."""
    return "".join(f"{number:0{count}b}"[::-1] for number, count in numbers if count)


BLACK = coded((1, 1), (0, 3)) * 5  # five codes with the symbol 0 alone, which take no bits
BYTE = [(1, 3) if symbol in (8, 18) else (0, 3) for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)]


def grouped(side: int, groups: int, bits: int = 2, padding: int = 0) -> str:
    """A black lossless WebP whose blocks of 2^bits pixels take their prefix codes from so many groups in turn."""
    byte = coded((0, 1), (8, 4), *BYTE, (0, 1)) + "0" * 256  # a code of eight bits for each byte
    green, red = byte + "1" + coded((24 - 11, 7)), byte
    index = coded((0, 1)) + green + red + coded((1, 1), (0, 3)) * 3
    number = (-(-side // (1 << bits))) ** 2
    pixels = "".join(f"{block % groups & 255:08b}{block % groups >> 8:08b}" for block in range(number))
    return coded((0, 1), (0, 1), (1, 1), (bits - 2, 3)) + index + pixels + BLACK * groups + "0" * (64 + 8 * padding)


def packed(bits: str) -> bytes:
    return int(bits[::-1], 2).to_bytes((len(bits) + 7) // 8, "little")


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for name, part in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def lossless(side: int, bits: str) -> bytes:
    return packed(coded((0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 4)) + bits)


def extended(side: int, flags: int) -> tuple[bytes, bytes]:
    return b"VP8X", struct.pack("<I", flags) + (struct.pack("<I", side - 1)[:3]) * 2


def with_groups(container: str, side: int, bits: str) -> bytes:
    """Lossless pixels as all of a file, as its transparency, and as a frame of an animation."""
    if container == "pixels":
        return riff((b"VP8L", lossless(side, bits)))
    if container == "transparency":
        drawn = encoded("RGB", "WEBP", (side, side), method=0)
        return riff(extended(side, 0x10), (b"ALPH", b"\1" + packed(bits)), (b"VP8 ", drawn[20:]))
    frame = bytes(6) + struct.pack("<I", side - 1)[:3] * 2 + bytes(4) + riff((b"VP8L", lossless(side, bits)))[12:]
    return riff(extended(side, 0x02), (b"ANIM", bytes(6)), (b"ANMF", frame))


CONTAINERS = ("pixels", "transparency", "animation")


@linux
def test_prefix_codes_of_a_lossless_webp_are_reserved(tmp_path: Path) -> None:
    """A group of them for each 4×4 pixels: ten times what the pixels take."""
    files = {name: with_groups(name, 400, grouped(400, 10_000)) for name in CONTAINERS}
    for name, peak in measured(files, "squash", tmp_path).items():
        assert peak > 50e6, f"{name}: the groups are not read"
        assert peak <= read_header(files[name]).peak(InputRule(64)), name


@pytest.mark.parametrize("container", CONTAINERS)
def test_groups_of_prefix_codes_are_counted(container: str) -> None:
    """Where reading them takes few steps for a file of this size; otherwise they are as many as there may be."""
    needed = {
        groups: read_header(with_groups(container, 400, grouped(400, groups, 4, padding=20_000))).peak(RULE)
        for groups in (1, 2, 600)
    }
    assert needed[2] - needed[1] == pytest.approx(group_bytes(0), abs=100)
    assert needed[600] - needed[1] == pytest.approx(599 * group_bytes(0), abs=20_000)
    most = read_header(with_groups(container, 1024, grouped(1024, 1))).peak(RULE)
    assert most > 65_536 * group_bytes(0)


@pytest.mark.parametrize(("quality", "method"), [(0, 0), (75, 4), pytest.param(100, 6, marks=pytest.mark.long)])
def test_the_prefix_codes_that_encoders_write_are_few(quality: int, method: int) -> None:
    rng = np.random.default_rng(0)
    for mode in ("RGB", "RGBA", "P"):
        image = waves(mode, 300, 200)
        image.paste(Image.fromarray(rng.integers(0, 255, (100, 100), dtype=np.uint8)).convert(mode), (20, 20))
        for options in ({"lossless": True}, {}):
            file = io.BytesIO()
            image.save(file, "WEBP", quality=quality, method=method, **options)
            data = file.getvalue()
            unread = Header("WEBP", image.size, "WEBP", metadata=3 * len(data))
            assert read_header(data).peak(RULE) - unread.peak(RULE) <= 20 * group_bytes(11)


@pytest.mark.long
def test_a_photo_of_ten_megapixels_fits_the_default_budget_without_loss() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (2600, 3900, 1))
    image = Image.fromarray((np.asarray(waves("RGB", 3900, 2600)) + noise).clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=75, method=4)
    assert read_header(file.getvalue()).peak(InputRule(224)) <= 320e6


def test_codes_that_are_no_prefix_codes_are_corrupt() -> None:
    incomplete = coded((0, 1), (0, 1), (1, 1), (0, 3), (0, 1), (0, 1), (0, 4), *[(1, 3), (0, 3), (0, 3), (2, 3)])
    twice = coded((1, 1), (2, 2), (1, 1), (2, 2))
    for bits in (incomplete, twice, coded((1, 1), (0, 2), (0, 3), (1, 1), (12, 4))):
        with pytest.raises(CorruptImage):
            read_header(riff((b"VP8L", lossless(400, bits + "0" * 200))))


def test_lossless_chunks_share_the_steps_that_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them are no thousand times the work."""
    two = coded((1, 1), (1, 1), (0, 1), (0, 1), (1, 8))  # a code of one bit
    chunk = lossless(7000, coded((1, 1), (0, 2), (0, 3), (0, 1)) + two * 4 + coded((1, 1), (0, 3)))
    windows = 0

    def passed(bits: Bits, steps: int) -> None:
        nonlocal windows
        windows += 1
        spend(bits, steps)

    spend = Bits.spend
    monkeypatch.setattr(Bits, "spend", passed)
    read_header(riff(*[(b"VP8L", chunk)] * 1000))
    assert windows <= 1100


BOMB = zlib.compress(bytes(1_000_000), 9)
MANY_PARTS = MAX_PARTS + 1
TOO_MUCH: dict[str, Callable[[], bytes]] = {
    "jpeg comments": lambda: after_start(jpeg(), b"\xff\xfe\0\2" * MANY_PARTS),
    "jpeg junk": lambda: after_start(jpeg(), b"\xff\xfe\0\2" + bytes(16 * MANY_PARTS)),
    "jpeg fill": lambda: after_start(jpeg(), b"\xff" * 16 * MANY_PARTS),
    "jpeg escapes": lambda: after_start(jpeg(), b"\xff\xfe\0\2" + b"\xff\0" * 8 * MANY_PARTS),
    "jpeg resources": lambda: after_start(
        jpeg(), segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * (MANY_PARTS // 2)) * 2
    ),
    "jpeg tables": lambda: after_start(jpeg(), segment(0xDB, (b"\0" + b"\1" * 64) * 900) * 6),
    "jpeg exif segments": lambda: after_start(jpeg(), segment(0xE1, b"Exif\0\0MM") * (MAX_EXIF_SEGMENTS + 1)),
    "jpeg exif entries": lambda: after_start(jpeg(), segment(0xE1, b"Exif\0\0" + exif_of(MANY_PARTS))),
    "jpeg comments between scans": lambda: between_scans(b"\xff\xfe\0\2" * MANY_PARTS),
    "jpeg layers twice": partial(with_scans, 4),
    "jpeg arithmetic scans": partial(with_scans, 3, 0xC9, (7000, 7000)),
    "jpeg arithmetic progressive scans": partial(with_scans, 3, 0xCA, (7000, 7000)),
    "png chunks before": lambda: png(before=chunk(b"teSt", b"") * MANY_PARTS),
    "png chunks after": lambda: png(after=chunk(b"teSt", b"") * MANY_PARTS),
    "png empty pixels": lambda: png(pixels=chunk(b"IDAT", b"") * MANY_PARTS),
    "png profiles": lambda: png(before=chunk(b"iCCP", b"a\0\0" + BOMB) * (MAX_COMPRESSED + 1)),
    "png texts": lambda: png(before=chunk(b"zTXt", b"a\0\0" + BOMB) * (MAX_COMPRESSED + 1)),
    "png texts after": lambda: png(after=chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB) * (MAX_COMPRESSED + 1)),
    "png exif entries": lambda: png(before=chunk(b"eXIf", exif_of(MANY_PARTS))),
    "gif extensions": lambda: gif(b"!\1\0" * MANY_PARTS),
    "gif comment": lambda: gif(b"!\xfe" + b"\1a" * MANY_PARTS + b"\0"),
    "gif nothing": lambda: gif(bytes(MANY_PARTS)),
    "webp chunks": lambda: webp((b"ABCD" + bytes(4)) * MANY_PARTS),
    "webp exif entries": lambda: webp(b"EXIF" + struct.pack("<I", 10 + 12 * MANY_PARTS) + exif_of(MANY_PARTS)),
    "bmp ends of lines": lambda: bmp(8, 1, b"\1\1\0\0" * 759 + b"\0\1", 65_535, 760),
    "bmp single runs": lambda: bmp(8, 1, b"\1\1" * (MAX_RUN_LENGTH // 2) + b"\0\1", 1000, 1000),
}


@pytest.mark.parametrize("name", sorted(TOO_MUCH))
def test_what_would_take_long_is_refused_before_pillow_sees_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("Pillow was asked")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(ImageTooLarge):
        fit(TOO_MUCH[name](), RULE)


def test_a_little_less_of_each_is_decoded() -> None:
    """The bounds lie where they are said to: half as much is no reason to refuse."""
    few = MAX_PARTS // 2
    for data in (
        after_start(jpeg(), b"\xff\xfe\0\2" * few),
        after_start(jpeg(), b"\xff\xfe\0\2" + bytes(16 * few)),
        between_scans(b"\xff\xfe\0\2" * few),
        with_scans(3),
        png(before=chunk(b"teSt", b"") * few),
        png(before=b"".join(chunk(b"zTXt", b"%d\0\0" % i + zlib.compress(b"a")) for i in range(MAX_COMPRESSED))),
        gif(b"!\xfe" + b"\1a" * few + b"\0"),
        webp((b"ABCD" + bytes(4)) * few),
    ):
        assert fit(data, RULE).shape == (64, 64, 3)


def test_scans_are_counted_with_the_pixels_that_they_draw() -> None:
    """Ten scans of 50 megapixels, as a camera's largest progressive photo has, are decoded; 99 are not."""
    data = bytearray(jpeg(progressive=True))
    frame = data.index(b"\xff\xc2")
    struct.pack_into(">HH", data, frame + 5, 7071, 7071)
    assert read_header(bytes(data)).pixels == 7071**2
    last = data.rindex(b"\xff\xda")
    again = bytes(data[last:-2])
    with pytest.raises(ImageTooLarge, match="pixels in all"):
        read_header(bytes(data[:-2] + again * (MAX_SCANNED // 7071**2) + b"\xff\xd9"))


def test_what_may_take_long_is_costly() -> None:
    """A photo of a telephone is not, as JPEG; many scans are, and large images of formats that are decoded in full."""

    def sized(data: bytes, side: int) -> Header:
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        return read_header(data[: frame + 5] + struct.pack(">HH", side, side) + data[frame + 9 :])

    assert not sized(jpeg(), 3500).is_costly(RULE)
    assert not sized(jpeg(progressive=True), 2000).is_costly(RULE)
    assert sized(jpeg(progressive=True), 7071).is_costly(RULE)
    assert sized(bombs.many_scans(8, 99), 3100).is_costly(RULE)
    assert not read_header(bombs.deep_png(1000)).is_costly(RULE)
    assert read_header(bombs.deep_png(4000)).is_costly(RULE)


def test_scans_of_an_embedded_image_are_not_the_images_own() -> None:
    """Phones put a second image behind the first, and a small one into the EXIF block."""
    inner = jpeg(progressive=True)
    with_many = after_start(jpeg(progressive=True), segment(0xE2, inner)) + inner * 20
    assert fit(with_many, RULE).shape == (64, 64, 3)


def test_a_header_that_says_another_size_than_the_decoder_is_corrupt() -> None:
    data = encoded("RGB", "PNG", (8, 8))
    wrong = Header("PNG", (9, 9), "RGB")
    with pytest.raises(CorruptImage):
        open_image(data, wrong)
