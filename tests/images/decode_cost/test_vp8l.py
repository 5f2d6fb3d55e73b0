"""Prefix codes of lossless WebPs: their groups are counted, and their memory is reserved."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.errors import CorruptImage
from vitrail.images.canvas import InputRule
from vitrail.images.decode import read_header
from vitrail.images.decode_cost import Header
from vitrail.images.decode_cost.vp8l import BitReader, group_bytes

from .files import RULE, encoded, waves
from .memory import linux, measured_peaks


def coded(*numbers: tuple[int, int]) -> str:
    """Numbers, each with its count of bits, as a lossless WebP stores them: least significant bit first."""
    return "".join(f"{number:0{count}b}"[::-1] for number, count in numbers if count)


BLACK = coded((1, 1), (0, 3)) * 5  # five codes whose only symbol is 0, which takes no bits
BYTE = [(1, 3) if symbol in (8, 18) else (0, 3) for symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)]


def grouped(side: int, groups: int, bits: int = 2, padding: int = 0) -> str:
    """A black lossless WebP whose blocks of 2^bits pixels use these prefix code groups in turn."""
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
    """Lossless pixels as a whole file, as its transparency, or as a frame of an animation."""
    if container == "pixels":
        return riff((b"VP8L", lossless(side, bits)))
    if container == "transparency":
        lossy = encoded("RGB", "WEBP", (side, side), method=0)
        return riff(extended(side, 0x10), (b"ALPH", b"\1" + packed(bits)), (b"VP8 ", lossy[20:]))
    frame = bytes(6) + struct.pack("<I", side - 1)[:3] * 2 + bytes(4) + riff((b"VP8L", lossless(side, bits)))[12:]
    return riff(extended(side, 0x02), (b"ANIM", bytes(6)), (b"ANMF", frame))


CONTAINERS = ("pixels", "transparency", "animation")


@linux
def test_memory_of_prefix_codes_is_reserved(tmp_path: Path) -> None:
    """A group of codes for each 4×4 pixels takes ten times the memory of the pixels."""
    files = {name: with_groups(name, 400, grouped(400, 10_000)) for name in CONTAINERS}
    for name, peak in measured_peaks(files, "squash", tmp_path).items():
        assert peak > 50e6, f"{name}: the groups are not read"
        assert peak <= read_header(files[name]).peak(InputRule(64)), name


@pytest.mark.parametrize("container", CONTAINERS)
def test_prefix_code_groups_are_counted(container: str) -> None:
    """Where that takes few steps for the size of the file; otherwise the largest possible number is assumed."""
    needed = {
        groups: read_header(with_groups(container, 400, grouped(400, groups, 4, padding=20_000))).peak(RULE)
        for groups in (1, 2, 600)
    }
    assert needed[2] - needed[1] == pytest.approx(group_bytes(0), abs=100)
    assert needed[600] - needed[1] == pytest.approx(599 * group_bytes(0), abs=20_000)
    most = read_header(with_groups(container, 1024, grouped(1024, 1))).peak(RULE)
    assert most > 65_536 * group_bytes(0)


@pytest.mark.parametrize(("quality", "method"), [(0, 0), (75, 4), pytest.param(100, 6, marks=pytest.mark.long)])
def test_encoders_write_few_prefix_codes(quality: int, method: int) -> None:
    rng = np.random.default_rng(0)
    for mode in ("RGB", "RGBA", "P"):
        image = waves(mode, 300, 200)
        image.paste(Image.fromarray(rng.integers(0, 255, (100, 100), dtype=np.uint8)).convert(mode), (20, 20))
        for options in ({"lossless": True}, {}):
            file = io.BytesIO()
            image.save(file, "WEBP", quality=quality, method=method, **options)
            data = file.getvalue()
            without_codes = Header("WEBP", image.size, "WEBP", metadata=3 * len(data))
            assert read_header(data).peak(RULE) - without_codes.peak(RULE) <= 20 * group_bytes(11)


@pytest.mark.long
def test_lossless_photo_of_ten_megapixels_fits_the_default_budget() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (2600, 3900, 1))
    image = Image.fromarray((np.asarray(waves("RGB", 3900, 2600)) + noise).clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=75, method=4)
    assert read_header(file.getvalue()).peak(InputRule(224)) <= 320e6


def test_invalid_prefix_codes_are_corrupt() -> None:
    incomplete = coded((0, 1), (0, 1), (1, 1), (0, 3), (0, 1), (0, 1), (0, 4), *[(1, 3), (0, 3), (0, 3), (2, 3)])
    repeated = coded((1, 1), (2, 2), (1, 1), (2, 2))
    for bits in (incomplete, repeated, coded((1, 1), (0, 2), (0, 3), (1, 1), (12, 4))):
        with pytest.raises(CorruptImage):
            read_header(riff((b"VP8L", lossless(400, bits + "0" * 200))))


def test_lossless_chunks_share_the_steps_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them do not take a thousand times as long."""
    two = coded((1, 1), (1, 1), (0, 1), (0, 1), (1, 8))  # a code of one bit
    chunk = lossless(7000, coded((1, 1), (0, 2), (0, 3), (0, 1)) + two * 4 + coded((1, 1), (0, 3)))
    calls = 0

    def counted(bits: BitReader, steps: int) -> None:
        nonlocal calls
        calls += 1
        spend(bits, steps)

    spend = BitReader.spend
    monkeypatch.setattr(BitReader, "spend", counted)
    read_header(riff(*[(b"VP8L", chunk)] * 1000))
    assert calls <= 1100
