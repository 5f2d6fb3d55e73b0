"""Utterances in the folder form of metadata.json: frames, speakers, and what is refused, by name."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vitrail.data import open_source
from vitrail.data.source import PARTS, Part
from vitrail.errors import DamagedImages, DataError
from vitrail.images.canvas import InputRule
from vitrail.training.data_module import ImageDataModule

BANDS = 5
RULE = InputRule(30, "native", width=BANDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten utterances of each of three speakers, as many frames long as their numbers say."""
    speakers: dict[str, list[dict[str, Any]]] = {}
    for number in range(30):
        name, speaker = f"uttr-{number}.pt", f"id{number % 3}"
        torch.save(torch.full((number + 1, BANDS), float(number)), tmp_path / name)
        speakers.setdefault(speaker, []).append({"feature_path": name, "mel_len": number + 1})
    (tmp_path / "metadata.json").write_text(json.dumps({"n_mels": BANDS, "speakers": speakers}))
    ids = {speaker: number for number, speaker in enumerate(speakers)}
    (tmp_path / "mapping.json").write_text(json.dumps({"speaker2id": ids}))
    return tmp_path


def test_frames_and_speakers_are_those_of_the_files(folder: Path) -> None:
    source = open_source(f"speech:{folder}", 0)
    assert (source.classes, source.width) == (("id0", "id1", "id2"), BANDS)
    seen = []
    for part in PARTS:
        samples = source.read(part, RULE)
        for name, label, frames in zip(samples.names, samples.labels, samples.images, strict=True):
            number = int(name.removeprefix("uttr-").removesuffix(".pt"))
            assert label == number % 3
            assert frames.tolist() == np.full((number + 1, BANDS), number).tolist()
            seen.append(number)
    assert sorted(seen) == list(range(30))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (torch.zeros(3, BANDS + 1), r"it holds \[3, 6\] and no frames \[T, 5\]"),
        (torch.zeros(0, BANDS), r"it holds \[0, 5\]"),
        ({"frames": 1}, "it holds dict"),
        (torch.full((3, BANDS), float("nan")), "it has numbers that are not finite"),
        (Path("code"), "it is no tensor"),
    ],
)
@pytest.mark.parametrize("part", PARTS)
def test_files_without_frames_are_named_before_training(folder: Path, content: Any, fault: str, part: Part) -> None:
    name = open_source(f"speech:{folder}", 0).contents(part).names[0]
    torch.save(content, folder / name)
    data = ImageDataModule(f"speech:{folder}", 30, workers=0)
    with pytest.raises(DamagedImages, match=f"{re.escape(name)}: {fault}"):
        data.prepare()


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ("{", "does not list the utterances of speakers: JSONDecodeError"),
        ('{"speakers": {}}', "KeyError 'n_mels'"),
        ('{"n_mels": 5, "speakers": {"a": [{"feature_path": "../a.pt"}]}}', "outside its folder: ../a.pt"),
        ('{"n_mels": 5, "speakers": {"a": [{"feature_path": "a.pt"}]}}', "not there: a.pt"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(folder: Path, metadata: str, fault: str) -> None:
    (folder / "metadata.json").write_text(metadata)
    with pytest.raises(DataError, match=fault):
        open_source(f"speech:{folder}", 0)
