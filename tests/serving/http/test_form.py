"""Forms are parsed as Starlette parses them."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from vitrail.serving.http.form import MAX_HEADER, MAX_HEADERS, MAX_PARTS, parameters_of, parse_form
from vitrail.serving.http.problems import Problem

TYPE = "multipart/form-data; boundary=b0undary"
names = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n;=', exclude_categories=["Cc"]), max_size=20)
contents = st.binary(max_size=200) | st.sampled_from([b"\r\n--b0undar", b"--b0undary", b"\r\n\r\n"])


def body_of(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    pieces: list[bytes] = []
    for name, filename, content in parts:
        file = "" if filename is None else f'; filename="{filename}"'
        head = f'--b0undary\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: image/png\r\n\r\n'
        pieces += [head.encode(), content, b"\r\n"]
    return b"".join([*pieces, b"--b0undary--\r\n"])


Parsed = list[tuple[str, bool, bytes]] | None  # None: refused


def by_us(body: bytes) -> Parsed:
    try:
        return [(part.name, part.is_file, part.content) for part in parse_form(body, TYPE)]
    except Problem:
        return None


def by_starlette(body: bytes) -> Parsed:
    async def read() -> list[tuple[str, bool, bytes]]:
        async def stream() -> AsyncGenerator[bytes, None]:
            yield body

        form = await MultiPartParser(Headers({"content-type": TYPE}), stream()).parse()
        return [
            (name, True, await value.read()) if isinstance(value, UploadFile) else (name, False, value.encode())
            for name, value in form.multi_items()
        ]

    try:
        return asyncio.run(read())
    except MultiPartException:
        return None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(names, st.none() | names, contents), min_size=1, max_size=5))
def test_same_parts_as_starlette(parts: list[tuple[str, str | None, bytes]]) -> None:
    body = body_of([(name, file, content if file is not None else b"text") for name, file, content in parts])
    assert by_us(body) == by_starlette(body)


def test_parse_form() -> None:
    parts = [("image", "a.png", b"\r\n--b0undar"), ("text", None, b"--b0undary"), ("image", "", b"")]
    assert by_us(body_of(parts)) == [(name, file is not None, content) for name, file, content in parts]


@pytest.mark.parametrize("cut", [1, 3, 10, 40])
def test_truncated_body_is_refused(cut: int) -> None:
    body = body_of([("image", "a.png", b"content")])
    with pytest.raises(Problem) as caught:
        parse_form(body[: -cut - 2], TYPE)
    assert (caught.value.status, caught.value.code) == (400, "bad_multipart")


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"", "multipart/form-data", "has no boundary"),
        (b"", f"multipart/form-data; boundary={'x' * 200}", "boundary is too long"),
        (b'--b0undary\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--b0undary--\r\n', TYPE, "no name"),
        (body_of([("image", "a", b"x")] * (MAX_PARTS + 1)), TYPE, f"more than {MAX_PARTS} parts"),
        (b"no form at all", TYPE, "cannot be read"),
    ],
)
def test_error_messages(body: bytes, kind: str, why: str) -> None:
    with pytest.raises(Problem, match=why):
        parse_form(body, kind)


@pytest.mark.parametrize("size", [4096, 65_536])
def test_other_part_headers_are_ignored(size: int) -> None:
    """A file name or a header of 64 KB is no error."""
    body = body_of([("image", "a" * size, b"content")])
    long_header = b"\r\nX-Comment: " + b"c" * size
    assert by_us(body) == [("image", True, b"content")]
    assert by_us(body.replace(b"\r\nContent-Type", long_header + b"\r\nContent-Type")) == by_us(body)
    assert by_us(body.replace(b"\r\nContent-Type", b"\r\nX: y" * 12 + b"\r\nContent-Type")) == by_us(body)


def with_headers(*lines: bytes) -> bytes:
    """A form of one part, with these headers after its own two."""
    added = b"".join(b"\r\n" + line for line in lines)
    return body_of([("image", "a.png", b"content")]).replace(b"\r\n\r\n", added + b"\r\n\r\n")


def test_limits_of_part_headers() -> None:
    """The largest and the most that are accepted, and one byte or one header more."""
    longest = b"X-Comment: ".ljust(MAX_HEADER, b"c")
    most = [b"X: y"] * (MAX_HEADERS - 2)
    assert by_us(with_headers(longest)) == by_us(with_headers(*most)) == [("image", True, b"content")]
    for refused in ([longest + b"c"], [*most, b"X: y"]):
        with pytest.raises(Problem, match="the multipart body cannot be read: Maximum header"):
            parse_form(with_headers(*refused), TYPE)


DISPOSITIONS = [
    (b'form-data; name="image"; filename="a.png"', {b"name": b"image", b"filename": b"a.png"}),
    (b"form-data;name=image ;FileName=a.png", {b"name": b"image", b"filename": b"a.png"}),
    (b'form-data; name="a;b=\\"c\\\\"; filename=""', {b"name": b'a;b="c\\', b"filename": b""}),
    (b"form-data; ; x; =y; name=image", {b"name": b"image"}),
    (b'form-data; name="image"; filename="open', {b"name": b"image", b"filename": b'"open'}),
    (b"form-data" + b";" * 65_536, {}),
    (b"form-data; name=" + b'";' * 32_768, {b"name": b";"}),
    (b"form-data; a=" + b"\\" * 65_536, {b"a": b"\\" * 65_536}),
    (b"form-data; " + b" " * 65_536 + b"name=image", {b"name": b"image"}),
]


@pytest.mark.parametrize(("disposition", "expected"), DISPOSITIONS, ids=range(len(DISPOSITIONS)))
def test_quoted_parameters(disposition: bytes, expected: dict[bytes, bytes]) -> None:
    assert parameters_of(disposition) == expected
