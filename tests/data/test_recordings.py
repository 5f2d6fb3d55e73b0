"""Recordings: parts, subsets and frames of wav files in folders and manifests; and what is refused, by name."""

import wave
from pathlib import Path

import numpy as np
import pytest

from vitrail.data import open_source
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule
from vitrail.sounds import BANDS, frames_of

RULE = InputRule(60, "native", width=BANDS)
RATE = 8000


def write(file: Path, number: int, rate: int = RATE, channels: int = 1, samples: int | None = None) -> None:
    """A tone whose frequency and length tell recordings apart."""
    file.parent.mkdir(parents=True, exist_ok=True)
    count = 1000 + 80 * number if samples is None else samples
    tone = np.sin(2 * np.pi * (200 + 100 * number) * np.arange(count) / rate)
    with wave.open(str(file), "wb") as written:
        written.setparams((channels, 2, rate, 0, "NONE", ""))
        written.writeframes((20000 * tone).astype("<i2").repeat(channels).tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        write(tmp_path / ("high", "low")[number % 2] / f"{number}.wav", number)
    return tmp_path


def test_each_recording_is_the_set_of_its_frames(folder: Path) -> None:
    source = open_source(f"speech:{folder}", 0)
    assert (source.task, source.classes, source.width) == ("classification", ("high", "low"), BANDS)
    assert {part: len(source.labels(part)) for part in PARTS} == {"train": 12, "val": 4, "test": 4}
    samples = source.read("train", RULE)
    for name, label, frames in zip(samples.names, samples.labels, samples.images, strict=True):
        number = int(Path(name).stem)
        tone = np.sin(2 * np.pi * (200 + 100 * number) * np.arange(1000 + 80 * number) / RATE)
        assert label == number % 2
        assert frames.dtype == np.float32
        assert frames == pytest.approx(frames_of((20000 * tone).astype(np.int16) / 32768, RATE), abs=1e-4)


def test_subsets_are_nested_and_files_are_known_by_content(folder: Path) -> None:
    source = open_source(f"speech:{folder}", 0)
    small, large = (set(Selection("", 0, images).chosen(source)["train"].tolist()) for images in (6, 10))
    assert small < large
    before = source.fingerprint
    keys = open_source(f"speech:{folder}", 0).contents("train").images
    assert keys.tolist() == source.contents("train").images.tolist()
    write(folder / "high" / "0.wav", 21)
    assert open_source(f"speech:{folder}", 0).fingerprint != before


def test_a_manifest_gives_labels_and_parts(folder: Path) -> None:
    lines = ["path,label,split"]
    lines += [f"{('high', 'low')[i % 2]}/{i}.wav,{i % 3},{('train', 'val', 'test')[i % 5 % 3]}" for i in range(20)]
    (folder / "thirds.csv").write_text("\n".join(lines))
    source = open_source(f"speech:{folder / 'thirds.csv'}", 0)
    assert source.classes == ("0", "1", "2")
    assert source.read("test", RULE).names == tuple(f"{('high', 'low')[i % 2]}/{i}.wav" for i in (2, 7, 12, 17))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"samples": 150}, r"1 recording\(s\) cannot be used.*3\.wav: it lasts 19 ms, and a window 25 ms"),
        ({"channels": 2}, r"3\.wav: it has 2 channels"),
        ({"rate": 16000}, r"most recordings have 8000 samples a second.*3\.wav \(16000 Hz\)"),
    ],
)
def test_recordings_that_cannot_be_used_are_named_before_any_is_read(
    folder: Path, change: dict[str, int], fault: str
) -> None:
    write(folder / "low" / "3.wav", 3, **change)
    with pytest.raises(DataError, match=fault):
        open_source(f"speech:{folder}", 0)


def test_what_is_no_recording_is_refused(folder: Path) -> None:
    (folder / "low" / "5.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"5\.wav: it is no wav file of PCM"):
        open_source(f"speech:{folder}", 0)
    (folder / "list.csv").write_text("path,label\nlow/1.wav,a\nlow/none.wav,b\nnotes.txt,a\n")
    with pytest.raises(DataError, match=r"there is no recording 'low/none.wav'.*'notes.txt' is not a wav file"):
        open_source(f"speech:{folder / 'list.csv'}", 0)
    with pytest.raises(DataError, match="there is no folder of recordings at"):
        open_source(f"speech:{folder / 'nowhere'}", 0)


def test_a_recording_longer_than_the_most_frames_is_named(folder: Path) -> None:
    source = open_source(f"speech:{folder}", 0)
    with pytest.raises(DataError, match=r"has \d+ frames, and --data.size is 12: raise it, or cut the recording"):
        source.read("train", InputRule(12, "native", width=BANDS))
