"""Recordings → vectors: wav files as frames of log-mel energies."""

from vitrail.sounds.frames import BANDS, frames_of, shortest
from vitrail.sounds.wav import Wave, read_header, read_samples

__all__ = ["BANDS", "Wave", "frames_of", "read_header", "read_samples", "shortest"]
