"""Names in one buffer: a sequence of texts, of any bytes."""

import os
from itertools import product

import numpy as np
import pytest

from vitrail.data.names import AT_A_TIME, Names, NamesBuilder

TEXTS = ("", "cat/1.png", "叶🍂.png", os.fsdecode(b"\xff\xfe.png"), "é", "")


def test_texts_come_back_as_they_were() -> None:
    names = Names.of(TEXTS)
    assert len(names) == 6
    assert tuple(names) == TEXTS
    assert [names[i] for i in range(-6, 6)] == [*TEXTS, *TEXTS]
    assert names == TEXTS
    assert names == TEXTS
    assert names == list(TEXTS)
    assert names != TEXTS[:-1]
    assert names != [*TEXTS[:-1], "x"]
    with pytest.raises(IndexError):
        names[6]


@pytest.mark.parametrize(("start", "stop", "step"), [*product([None, 1, -2], [None, 4, 0], [None, 2, -1])])
def test_slices_are_those_of_a_tuple(start: int | None, stop: int | None, step: int | None) -> None:
    chosen = slice(start, stop, step)
    assert Names.of(TEXTS)[chosen] == TEXTS[chosen]


def test_chosen_names() -> None:
    names = Names.of(TEXTS)
    assert names.take(np.array([4, 1, 1])) == ("é", "cat/1.png", "cat/1.png")
    assert names.take(np.array([], np.int64)) == ()


def test_names_that_come_a_few_at_a_time() -> None:
    builder = NamesBuilder()
    for begin, end in ((0, 2), (2, 2), (2, 6)):
        builder.add(TEXTS[begin:end])
    assert builder.names() == TEXTS


def test_more_names_than_are_encoded_at_once() -> None:
    texts = [f"{i:x}" for i in range(2 * AT_A_TIME + 3)]
    assert list(Names.of(iter(texts))) == texts


def test_equal_texts_have_equal_hashes() -> None:
    first, _, _, second, third = Names.of(["a.png", "b", "c", "a.png", "a.pn"]).hashes()
    assert first == second != third
