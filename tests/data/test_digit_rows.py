"""Rows of digits: what is shown is what the targets say, and no test digit is shown in training."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.data import DigitRows, Digits, open_source
from vitrail.data.digit_rows import DIGIT, LONGEST, ROWS, SIDE
from vitrail.data.source import Part
from vitrail.images.canvas import InputRule
from vitrail.tasks.sequence.predictions import ENDED

RULE = InputRule(SIDE)


@pytest.fixture(scope="module")
def rows() -> DigitRows:
    source = open_source("digit-rows", 0)
    assert isinstance(source, DigitRows)
    return source


def test_every_part_has_sequences_of_all_lengths(rows: DigitRows) -> None:
    assert (rows.task, rows.classes) == ("sequence", Digits.classes)
    part: Part
    for part, count in ROWS.items():
        targets = rows.targets(part, RULE)
        assert targets.shape == (count, LONGEST)
        lengths = (targets != ENDED).sum(axis=1)
        assert np.bincount(lengths)[1:].min() > 0.25 * count
        assert (np.arange(LONGEST) < lengths[:, None]).tolist() == (targets != ENDED).tolist()
        assert rows.labels(part).tolist() == lengths.tolist()


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_target_is_what_is_read_from_left_to_right(part: Part, rows: DigitRows) -> None:
    """Every square of a row that is an image of a digit is one of the same part."""
    digits = Digits(0).read(part, InputRule(DIGIT))
    known = {image.tobytes(): label for image, label in zip(digits.images[..., 0], digits.labels, strict=True)}
    samples = rows.read(part, RULE, np.arange(60))
    for row, target in zip(samples.images[..., 0], samples.labels, strict=True):
        assert read(row, known) == target[target != ENDED].tolist()


def read(row: NDArray[np.uint8], known: dict[bytes, np.int64]) -> list[np.int64]:
    squares = np.lib.stride_tricks.sliding_window_view(row, (DIGIT, DIGIT)).swapaxes(0, 1)
    flat = squares.reshape(-1, DIGIT, DIGIT)
    return [known[square.tobytes()] for square in flat if square.tobytes() in known]


def test_seeds_and_parts_differ_and_repeat_themselves(rows: DigitRows) -> None:
    assert DigitRows(0).fingerprint == rows.fingerprint != DigitRows(1).fingerprint
    train, val = (rows.read(part, RULE, np.arange(100)).images for part in ("train", "val"))
    assert not np.array_equal(train, val)


def test_whole_images_are_the_canvases_of_their_own_size(rows: DigitRows) -> None:
    assert np.array_equal(rows.whole("test", 7), rows.read("test", RULE, np.array([7])).images[0])
