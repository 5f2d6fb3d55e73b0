"""The pull parser reads what `json` reads, and refuses at the first difference from what its caller expects."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrail.serving.http.json_reader import Reader, Scalar, reader_for
from vitrail.serving.http.problems import Problem

floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | floats | st.text()
spaces = st.sampled_from(["", " ", "\r\n\t"])


def reader(text: str) -> Reader:
    return Reader(text, "of this form")


@settings(deadline=None)  # one of many may meet a pause of the machine
@given(st.dictionaries(st.text(), st.lists(scalars), max_size=5), spaces)
def test_same_values_as_json(value: dict[str, list[Scalar]], space: str) -> None:
    text = space + json.dumps(value, separators=(f"{space},{space}", f"{space}:{space}")) + space
    one = reader(text)
    assert {name: [one.scalar() for _ in one.items()] for name in one.members(5)} == value
    one.expect_end()


def test_indices_of_an_array() -> None:
    one = reader("[true, null]")
    assert [(number, one.scalar()) for number in one.items()] == [(0, True), (1, None)]
    assert list(reader("[ ]").items()) == []


def test_object_of_one_member() -> None:
    one = reader('{ "b64" : "AA==" }')
    one.begin_object("b64")
    assert one.string() == "AA=="
    one.end_object()
    one.expect_end()


Read = Callable[[Reader], object]


def scalar(one: Reader) -> object:
    return one.scalar()


def string(one: Reader) -> object:
    return one.string()


def items(one: Reader) -> object:
    return [one.scalar() for _ in one.items()]


def members(one: Reader) -> object:
    return [one.scalar() for _ in one.members(2, frozenset({"a", "b", "c"}))]


def single(one: Reader) -> object:
    one.begin_object("a")
    one.scalar()
    one.end_object()
    return None


REFUSED: list[tuple[Read, str, str]] = [
    (scalar, "", "is missing at character 0"),
    (scalar, " [1]", "a string, a number, true, false or null is missing at character 1"),
    (scalar, "NaN", "is missing at character 0"),
    (scalar, "-Infinity", "is missing at character 0"),
    (scalar, "01", "the number at character 0 is broken"),
    (scalar, "1.2.3", "the number at character 0 is broken"),
    (string, "1", "'\"' is missing at character 0"),
    (string, '"open', "the string at character 0 is broken"),
    (string, r'"\x41"', "the string at character 1 is broken"),
    (items, "{}", "'[' is missing at character 0"),
    (items, "[1 2]", "']' is missing at character 3"),
    (items, "[1,]", "is missing at character 3"),
    (members, '{"a": 1, "d": 2}', "the member 'd' is unknown, repeated, or one too many"),
    (members, '{"a": 1, "a": 2}', "the member 'a' is unknown, repeated, or one too many"),
    (members, '{"a": 1, "b": 2, "c": 3}', "the member 'c' is unknown, repeated, or one too many"),
    (members, '{"a" 1}', "':' is missing at character 5"),
    (members, '{"a": 1', "'}' is missing at character 7"),
    (single, '{"b": 1}', "the member 'b' is unknown or repeated"),
    (single, '{"a": 1, "a": 2}', "the member 'a' is unknown or repeated"),
    (Reader.expect_end, " {}", "more follows at character 1"),
]


@pytest.mark.parametrize(("read", "text", "why"), REFUSED)
def test_first_difference_is_named(read: Read, text: str, why: str) -> None:
    with pytest.raises(Problem) as caught:
        read(reader(text))
    assert (caught.value.status, caught.value.code) == (400, "bad_json")
    assert str(caught.value).startswith("the body must be JSON of this form; ")
    assert str(caught.value).endswith(why)


def test_numbers_are_short() -> None:
    assert reader("9" * 41).scalar() == int("9" * 41)
    one = reader("9" * 1000)
    one.scalar()
    with pytest.raises(Problem, match="more follows"):
        one.expect_end()


def test_body_must_be_utf_8() -> None:
    assert reader_for('"é"'.encode(), "").string() == "é"
    with pytest.raises(Problem, match="JSON in UTF-8; byte 1 is not"):
        reader_for('"é"'.encode("latin-1"), "")
