"""Multipart bodies that are in memory, parsed into their parts."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vitrail.serving.http.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 1000
MAX_CONTENT_TYPE = 200  # a boundary has at most 70 characters
MAX_HEADER = 65_536 + 1024  # bytes, without the line break: a file name of 64 KB, and the rest of its header
MAX_HEADERS = 16  # of one part

# `; name="value"` or `; name=value`. Takes linear time, where python-multipart's own pattern takes quadratic time.
PARAMETER = re.compile(rb';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.DOTALL)
ESCAPED = re.compile(rb"\\([\"\\])")


@dataclass
class Part:
    """One part: its field name and content; a file, if it has a filename."""

    header: bytes = b""
    value: bytes = b""
    disposition: bytes = b""
    name: str = ""
    is_file: bool = False
    pieces: list[bytes] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)


class FormBuilder:
    """Collects the parts; its methods are the parser's callbacks."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.is_complete = False

    def on_part_begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise bad_multipart(f"it has more than {MAX_PARTS} parts")
        self.parts.append(Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].value += data[start:end]

    def on_header_end(self) -> None:
        part = self.parts[-1]
        if part.header.lower() == b"content-disposition":
            part.disposition = part.value
        part.header = part.value = b""

    def on_headers_finished(self) -> None:
        part = self.parts[-1]
        parameters = parameters_of(part.disposition)
        if b"name" not in parameters:
            raise bad_multipart("a part has no name: give it Content-Disposition: form-data; name=…")
        part.name = parameters[b"name"].decode(errors="replace")
        part.is_file = b"filename" in parameters

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].pieces.append(data[start:end])

    def on_end(self) -> None:
        self.is_complete = True

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self.on_part_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
            "on_part_data": self.on_part_data,
            "on_end": self.on_end,
        }


def parameters_of(disposition: bytes) -> dict[bytes, bytes]:
    """The parameters of a Content-Disposition by lower-case name; of duplicates, the last."""
    return {
        match[1].lower(): unescaped(match[2]) if match[2] is not None else match[3].rstrip(b" \t")
        for match in PARAMETER.finditer(disposition)
    }


def unescaped(text: bytes) -> bytes:
    return ESCAPED.sub(rb"\1", text) if b"\\" in text else text


def parse_form(body: bytes, content_type: str) -> list[Part]:
    """All parts of the body, in order; a truncated or malformed body is a 400."""
    if len(content_type) > MAX_CONTENT_TYPE:
        raise bad_multipart("its boundary is too long")
    _, options = parse_options_header(content_type)
    if b"boundary" not in options:
        raise bad_multipart("its content type has no boundary")
    form = FormBuilder()
    try:
        parser = MultipartParser(
            options[b"boundary"], form.callbacks(), max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER
        )
        parser.write(body)
    except FormParserError as error:
        raise bad_multipart(str(error)) from error
    if not form.is_complete:
        raise bad_multipart("it ends before its last boundary")
    return form.parts


def bad_multipart(why: str) -> Problem:
    return Problem(400, "bad_multipart", f"the multipart body cannot be read: {why}")
