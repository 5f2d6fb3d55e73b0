"""Frames of sound against the discrete Fourier transform and the triangles written out."""

from math import cos, log10, pi

import numpy as np
import pytest

from vitrail.sounds.frames import BANDS, DEVIATION, FLOOR, RANGE, frames_of, mel_filters, power_spectra, shortest

RATE = 8000


def hertz(mels: float) -> float:
    return float(700 * (10 ** (mels / 2595) - 1))


def test_a_frame_is_the_logarithm_of_the_energy_in_each_triangle_of_its_spectrum() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(0, 0.1, 3 * 80 + 200) * np.linspace(1, 0, 3 * 80 + 200) ** 4
    highest = 2595 * log10(1 + RATE / 2 / 700)
    corners = [hertz(highest * number / (BANDS + 1)) for number in range(BANDS + 2)]
    levels = np.empty((4, BANDS))
    for frame in range(4):
        window = [samples[80 * frame + i] * (0.5 - 0.5 * cos(2 * pi * i / 200)) for i in range(200)]
        turns = np.exp(-2j * pi * np.outer(np.arange(129), np.arange(200)) / 256)
        power = np.abs(turns @ np.array(window)) ** 2
        for band in range(BANDS):
            shares = np.interp(np.arange(129) * RATE / 256, corners[band : band + 3], [0, 1, 0])
            levels[frame, band] = np.log(power @ shares + FLOOR)
    heard = np.maximum(levels, levels.max() - RANGE)
    assert (heard > levels).any()
    expected = (heard - heard.mean()) / DEVIATION
    assert frames_of(samples, RATE) == pytest.approx(expected, abs=1e-5)


def test_a_tone_is_loudest_in_the_band_of_its_frequency() -> None:
    for frequency in (300.0, 1000.0, 3000.0):
        tone = np.sin(2 * pi * frequency * np.arange(RATE) / RATE)
        loudest = int((power_spectra(tone, RATE) @ mel_filters(RATE).T).mean(axis=0).argmax())
        bins = np.linspace(0, RATE / 2, mel_filters(RATE).shape[1])
        inside = bins[mel_filters(RATE)[loudest] > 0]
        assert inside[0] - RATE / 256 <= frequency <= inside[-1] + RATE / 256


@pytest.mark.parametrize(("samples", "frames"), [(200, 1), (279, 1), (280, 2), (8000, 98)])
def test_a_window_of_25_ms_every_10_ms(samples: int, frames: int) -> None:
    assert frames_of(np.ones(samples), RATE).shape == (frames, BANDS)
    assert (shortest(8000), shortest(16000)) == (200, 400)


def test_loudness_and_what_is_much_softer_change_nothing() -> None:
    random = np.random.default_rng(1)
    samples = random.normal(0, 0.1, 4000) * (np.arange(4000) < 2000)
    assert frames_of(samples / 3, RATE) == pytest.approx(frames_of(samples, RATE), abs=1e-4)
    noisy = samples + random.normal(0, 1e-4, 4000)
    assert frames_of(noisy, RATE)[30:] == pytest.approx(frames_of(samples, RATE)[30:], abs=0.01)


def test_energy_is_that_of_the_windowed_samples() -> None:
    samples = np.random.default_rng(2).normal(0, 0.1, 200)
    (power,) = power_spectra(samples, RATE)
    windowed = samples * (0.5 - 0.5 * np.cos(2 * pi * np.arange(200) / 200))
    both_sides = 2 * power.sum() - power[0] - power[-1]
    assert both_sides / 256 == pytest.approx((windowed**2).sum())
