"""Wav files: samples of each width, and what is refused."""

import io
import struct
import wave
from contextlib import suppress

import numpy as np
import pytest

from vitrail.errors import SoundError
from vitrail.sounds.wav import Wave, read_header, read_samples

RATE = 8000


def wav(content: bytes, width: int = 2, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((channels, width, RATE, 0, "NONE", ""))
        written.writeframes(content)
    return file.getvalue()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_each_width_are_shares_of_full_scale(width: int) -> None:
    full = 2 ** (8 * width - 1)
    numbers = [-full, full - 1, 0, full // 2, -full // 4] * 100
    content = b"".join((one + full * (width == 1)).to_bytes(width, "little", signed=width > 1) for one in numbers)
    assert read_header(wav(content, width)) == Wave(RATE, width, 500)
    assert read_samples(wav(content, width)).tolist() == [one / full for one in numbers]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (wav(bytes(800), channels=2), "it has 2 channels"),
        (wav(bytes(398)), "it lasts 25 ms, and a window 25 ms"),
        (wav(bytes(100)), "it lasts 6 ms, and a window 25 ms"),
        (wav(bytes(800))[:-2], "it ends after 399 of 400 samples"),
        (wav(bytes(800))[:20], "it is no wav file of PCM"),
        (b"", "it is no wav file of PCM"),
        (b"RIFF and more", "it is no wav file of PCM"),
        (wav(bytes(800)).replace(b"fmt \x10\0\0\0\x01\0", b"fmt \x10\0\0\0\x03\0"), "it is no wav file of PCM"),
    ],
)
def test_what_is_no_sound_of_one_channel_is_refused(data: bytes, fault: str) -> None:
    with pytest.raises(SoundError, match=fault):
        read_header(data)


def test_damaged_files_are_read_or_refused() -> None:
    random = np.random.default_rng(0)
    whole = bytearray(wav(struct.pack("<400h", *range(400))))
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, 44, 3):
            damaged[place] = random.integers(256)
        with suppress(SoundError):
            assert np.abs(read_samples(bytes(damaged))).max() <= 1
