"""Raw contents are split off without parsing; what is left is small, whatever is sent."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrail.serving.grpc.messages import CLASSES
from vitrail.serving.grpc.wire import MAX_FIELDS, MAX_REST, split_raw
from vitrail.serving.http.problems import Problem

REQUEST = CLASSES["ModelInferRequest"]


@given(st.text(max_size=20), st.lists(st.binary(max_size=300), max_size=6), st.integers(0, 4))
def test_raw_contents_and_the_rest_are_those_of_the_parser(name: str, raw: list[bytes], inputs: int) -> None:
    message = REQUEST(model_name=name, raw_input_contents=raw)
    for number in range(inputs):
        message.inputs.add(name=f"i{number}", shape=[number] * number)
    rest, found = split_raw(message.SerializeToString())
    assert [*map(bytes, found)] == raw
    message.ClearField("raw_input_contents")
    assert REQUEST.FromString(rest) == message


def test_raw_contents_may_come_first_or_between() -> None:
    one, two = REQUEST(model_name="a", raw_input_contents=[b"1"]), REQUEST(id="b", raw_input_contents=[b"2"])
    rest, found = split_raw(two.SerializeToString() + one.SerializeToString())
    assert [*map(bytes, found)] == [b"2", b"1"]
    assert REQUEST.FromString(rest) == REQUEST(model_name="a", id="b")


def test_raw_contents_are_not_copied() -> None:
    data = REQUEST(raw_input_contents=[bytes(20_000_000)]).SerializeToString()
    start = time.process_time()
    _, (raw,) = split_raw(data)
    assert time.process_time() - start < 0.005
    assert (raw.obj is data, raw.nbytes) == (True, 20_000_000)


def test_unknown_fields_of_every_kind_are_left_in_the_rest() -> None:
    others = b"\xa0\x06\x96\x01" + b"\xa9\x06" + bytes(8) + b"\xb2\x06\x02ab" + b"\xbd\x06" + bytes(4)
    assert split_raw(others) == (others, [])


@pytest.mark.parametrize(
    "message",
    [
        b"\x3a",
        b"\x3a\x05abcd",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x80",
        b"\x0b",
        b"\x0f\x00",
        b"\x09\x00",
        b"\x0d\x00",
    ],
    ids=["no length", "cut short", "endless number", "cut tag", "group", "no such kind", "cut fixed64", "cut fixed32"],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(Problem, match="not a message of the Open Inference Protocol"):
        split_raw(message)


@given(st.binary(max_size=200))
def test_any_bytes_are_split_or_refused(message: bytes) -> None:
    with suppress(Problem):
        rest, raw = split_raw(message)
        assert len(rest) + sum(map(len, raw)) <= len(message)


def test_many_numbers_outside_raw_contents_are_refused_before_they_are_parsed() -> None:
    message = REQUEST()
    message.inputs.add().contents.uint_contents.extend([1] * (MAX_REST + 1))
    data = message.SerializeToString()
    with pytest.raises(Problem, match="send tensors as raw contents"):
        split_raw(data)


def test_many_fields_are_refused() -> None:
    data = REQUEST(raw_input_contents=[b""] * 5_000_000).SerializeToString()
    start = time.process_time()
    with pytest.raises(Problem, match=f"at most {MAX_FIELDS:,} fields"):
        split_raw(data)
    assert time.process_time() - start < 0.2
