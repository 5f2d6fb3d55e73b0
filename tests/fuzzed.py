"""Real images of every kind, and mutations of them; run as a program, it decodes many.

    python tests/fuzzed.py RUNS

Each run decodes 500 mutated files, others each time. Standard output gets one line of JSON: how many were decoded and
refused, the slowest in seconds of the processor, and the memory after the first run and after the last.
"""

import collections
import gc
import io
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from vitrail.errors import ImageError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit

EACH_RUN = 500
SLOWEST = 2.0  # seconds of the processor for one file
ODD = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 7000, 7_000_000]
FORMATS = [">B", "<H", ">H", "<I", ">I"]

Mutation = Callable[[bytes], bytes]


def image(mode: str, width: int = 48, height: int = 40) -> Image.Image:
    """Soft waves with some noise, which exercise every part of a decoder."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([127 + 90 * np.sin(x / (5 + c) + y / (9 - c)) for c in range(3)], axis=2)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    whole = Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(whole.convert("L")).astype(np.uint16) * 257)
    if mode == "RGBA":
        whole.putalpha(whole.convert("L"))
    return whole.convert(mode)


def encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    image(mode).save(file, kind, **options)
    return file.getvalue()


def exif() -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F] = 6, "maker"
    return block.tobytes()


def animated(kind: str, **options: Any) -> bytes:
    return encoded(kind, save_all=True, append_images=[image("RGB").rotate(90), image("RGB")], **options)


FILES = [
    *(encoded("JPEG", mode, quality=80) for mode in ("RGB", "L", "CMYK")),
    encoded("JPEG", progressive=True, exif=exif()),
    encoded("JPEG", optimize=True, subsampling=0, restart_marker_blocks=2),
    *(encoded("PNG", mode) for mode in ("RGB", "L", "LA", "RGBA", "P", "1", "I;16")),
    encoded("PNG", "P", transparency=3),
    encoded("PNG", exif=exif(), dpi=(72, 72), icc_profile=bytes(range(200))),
    animated("PNG"),
    *(encoded("WEBP", mode) for mode in ("RGB", "RGBA")),
    encoded("WEBP", "RGBA", lossless=True, exif=exif()),
    animated("WEBP"),
    *(encoded("GIF", mode) for mode in ("P", "L", "1")),
    encoded("GIF", "P", interlace=1, transparency=0),
    animated("GIF", loop=0, disposal=2),
    *(encoded("BMP", mode) for mode in ("RGB", "RGBA", "L", "P", "1")),
]

# Places near the beginning come often: there the headers are.
places = st.one_of(st.integers(0, 64), st.integers(0, 2**14))
few_bytes = st.binary(min_size=1, max_size=24)


def flip(place: int, bit: int) -> Mutation:
    def mutate(data: bytes) -> bytes:
        at = place % max(1, len(data))
        return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :] if data else data

    return mutate


def put(place: int, what: bytes, instead: int) -> Mutation:
    """Put these bytes at this place, replacing `instead` bytes."""

    def mutate(data: bytes) -> bytes:
        at = place % (len(data) + 1)
        return data[:at] + what + data[at + instead :]

    return mutate


def number(place: int, form: str, value: int) -> Mutation:
    what = struct.pack(form, value % (1 << 8 * struct.calcsize(form)))
    return put(place, what, len(what))


def cut(place: int) -> Mutation:
    return lambda data: data[: place % (len(data) + 1)]


def repeat(place: int, length: int, times: int) -> Mutation:
    return lambda data: data[:place] + data[place : place + length] * times + data[place + length :]


def splice(place: int, other: bytes, start: int, length: int) -> Mutation:
    return put(place, other[start % len(other) :][:length], length)


def orient(block: bytes) -> Mutation:
    """Any bytes as the EXIF block of a JPEG or PNG."""

    def mutate(data: bytes) -> bytes:
        if data.startswith(b"\xff\xd8"):
            return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + data[2:]
        return data[:33] + chunk(b"eXIf", block) + data[33:] if data.startswith(b"\x89PNG") else data

    return mutate


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def mended(data: bytes) -> bytes:
    """A PNG with repaired checksums, so that the decoder reads the chunks that they cover."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    return data[:8] + b"".join(chunk(kind, content) for kind, content in chunks(data))


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


mutations = st.one_of(
    st.builds(flip, places, st.integers(0, 7)),
    st.builds(number, places, st.sampled_from(FORMATS), st.sampled_from(ODD)),
    st.builds(put, places, few_bytes, st.integers(0, 24)),
    st.builds(cut, st.integers(0, 2**14)),
    st.builds(repeat, places, st.integers(1, 64), st.integers(0, 40)),
    st.builds(splice, places, st.sampled_from(FILES), st.integers(0, 2**14), st.integers(1, 400)),
    st.builds(orient, st.one_of(few_bytes, st.builds(lambda tail: b"MM\0*\0\0\0\x08" + tail, few_bytes))),
    st.just(mended),
)


@st.composite
def images(draw: Any) -> bytes:
    """The bytes of a real image after one to five mutations."""
    data: bytes = draw(st.sampled_from(FILES))
    for mutate in draw(st.lists(mutations, min_size=1, max_size=5)):
        data = mutate(data)
    return data


rules = st.builds(InputRule, st.sampled_from([8, 32]), st.sampled_from(["squash", "crop", "pad"]))
offline = settings(
    database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink]
)


def run(number: int, results: collections.Counter[str]) -> float:
    """Decode the files of one run and count the results; returns the slowest time in seconds."""
    slowest = 0.0

    @seed(number)
    @settings(offline, max_examples=EACH_RUN)
    @given(images(), rules)
    def decode(data: bytes, rule: InputRule) -> None:
        nonlocal slowest
        start = time.thread_time()
        try:
            canvas = fit(data, rule)
        except ImageError as fault:
            results[type(fault).__name__] += 1
        else:
            assert (canvas.dtype, canvas.shape) == (np.dtype(np.uint8), (rule.size, rule.size, 3))
            results["decoded"] += 1
        taken = time.thread_time() - start
        assert taken < SLOWEST, f"{taken:.2f} s of the processor"
        slowest = max(slowest, taken)

    decode()
    return slowest


def main(runs: int) -> None:
    results: collections.Counter[str] = collections.Counter()
    slowest, memory = 0.0, list[int]()
    for number in range(runs):
        slowest = max(slowest, run(number, results))
        gc.collect()
        memory.append(psutil.Process().memory_info().rss)
    print(json.dumps({"results": dict(results), "slowest": round(slowest, 3), "first": memory[0], "last": memory[-1]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
