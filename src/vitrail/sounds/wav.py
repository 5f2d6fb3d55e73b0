"""Wav files: header and samples of 8 to 32 bits PCM, one channel."""

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import SoundError
from vitrail.sounds.frames import WINDOW, shortest

BYTES = (1, 2, 3, 4)  # of a sample


@dataclass(frozen=True)
class Wave:
    """What the header of a file says."""

    rate: int  # samples a second
    width: int  # bytes a sample
    count: int  # samples


def read_header(data: bytes) -> Wave:
    """Refuses what is no sound of one channel with at least one window."""
    with opened(data) as file:
        channels, width, rate, count = file.getparams()[:4]
        there = len(file.readframes(count)) // (channels * width)
    if channels != 1:
        raise SoundError(f"it has {channels} channels: mix them into one")
    if width not in BYTES:
        raise SoundError(f"its samples have {8 * width} bits, and 8, 16, 24 and 32 are read")
    if there < count:
        raise SoundError(f"it ends after {there:,} of {count:,} samples")
    if count < shortest(rate):
        raise SoundError(f"it lasts {1000 * count / rate:.0f} ms, and a window {1000 * WINDOW:.0f} ms")
    return Wave(rate, width, count)


def read_samples(data: bytes) -> NDArray[np.float64]:
    """Samples from -1 to 1, of a file whose header was read."""
    header = read_header(data)
    with opened(data) as file:
        content = np.frombuffer(file.readframes(header.count), np.uint8).reshape(-1, header.width)
    if header.width == 1:  # the only one without a sign
        return (content[:, 0].astype(np.float64) - 128) / 128
    wide = np.zeros((len(content), 4), np.uint8)
    wide[:, 4 - header.width :] = content
    return wide.view("<i4")[:, 0] / 2.0**31


def opened(data: bytes) -> wave.Wave_read:
    try:
        return wave.Wave_read(io.BytesIO(data))
    except (wave.Error, EOFError, RuntimeError) as fault:  # the last where chunks end before their size
        raise SoundError(f"it is no wav file of PCM: {fault or 'its header is cut off'}") from fault
