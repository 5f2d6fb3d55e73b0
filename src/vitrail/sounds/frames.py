"""Frames of sound: a vector of log-mel energies for each 25 ms, every 10 ms."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

WINDOW, STEP = 0.025, 0.010  # seconds
BANDS = 40  # of a frame, evenly spaced on the mel scale from 0 to half the sample rate
FLOOR = 1e-10  # of an energy, below that of the last bit of 16
RANGE = 8.0  # of natural logarithms of energies: 35 dB
DEVIATION = 2.0  # the usual one within that range

Frames = NDArray[np.float32]  # [T, BANDS]


def frames_of(samples: NDArray[np.float64], rate: int) -> Frames:
    """Samples from -1 to 1 as frames.

    What is RANGE below the loudest is silence, and the mean over the recording is 0: neither its loudness nor soft
    noise changes its frames.
    """
    levels = np.log(power_spectra(samples, rate) @ mel_filters(rate).T + FLOOR)
    heard = np.maximum(levels, levels.max() - RANGE)
    frames: Frames = ((heard - heard.mean()) / DEVIATION).astype(np.float32)
    return frames


def shortest(rate: int) -> int:
    """The samples of one window."""
    return round(WINDOW * rate)


def power_spectra(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """|FFT|² of each window, [T, bins], under Hann's."""
    window = shortest(rate)
    windows = np.lib.stride_tricks.sliding_window_view(samples, window)[:: round(STEP * rate)]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.abs(np.fft.rfft(windows * hann, points(window))) ** 2


def points(window: int) -> int:
    """Of the FFT: the next power of two."""
    return 1 << (window - 1).bit_length()


@cache
def mel_filters(rate: int) -> NDArray[np.float64]:
    """Triangles [BANDS, bins], each from the centre of the band below to that of the band above."""
    bins = np.linspace(0, rate / 2, points(shortest(rate)) // 2 + 1)
    edges = hertz(np.linspace(0, mel(rate / 2), BANDS + 2))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))


def mel(frequency: float) -> float:
    """HTK's scale, on which steps sound equally wide."""
    return float(2595 * np.log10(1 + frequency / 700))


def hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return 700 * (10 ** (mels / 2595) - 1)
