"""A strict pull parser for JSON: the caller asks for what it expects next."""

import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Never

from vitrail.serving.http.problems import Problem

SPACE = re.compile(r"[ \t\n\r]*+")
SCALAR = re.compile(r"-?[0-9][0-9.eE+-]{0,40}+|true|false|null")

Scalar = str | int | float | bool | None


def reject_constant(name: str) -> Never:
    raise JSONDecodeError(f"{name} is not JSON", "", 0)


DECODER = JSONDecoder(parse_constant=reject_constant)


class Reader:
    """Reads what its caller expects, in one pass, and raises at the first difference.

    A general parser would first build whatever was sent, however deep or wide; here nothing unexpected is built.
    """

    def __init__(self, text: str, expected_form: str) -> None:
        self.text = text
        self.expected_form = expected_form  # follows "the body must be JSON" in error messages
        self.position = 0

    def accept(self, token: str) -> bool:
        """Skip this token if it comes next; returns whether it did."""
        self.skip_space()
        accepted = self.text.startswith(token, self.position)
        self.position += len(token) * accepted
        return accepted

    def skip_space(self) -> None:
        if space := SPACE.match(self.text, self.position):
            self.position = space.end()

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.problem(f"{token!r} is missing at character {self.position}")

    def expect_end(self) -> None:
        self.skip_space()
        if self.position < len(self.text):
            raise self.problem(f"more follows at character {self.position}")

    def string(self) -> str:
        self.expect('"')
        try:
            value, self.position = DECODER.raw_decode(self.text, self.position - 1)
        except JSONDecodeError as error:
            raise self.problem(f"the string at character {error.pos} is broken") from error
        return str(value)

    def scalar(self) -> Scalar:
        """A string, a number, true, false or null."""
        self.skip_space()
        if self.text.startswith('"', self.position):
            return self.string()
        match = SCALAR.match(self.text, self.position)
        if match is None:
            raise self.problem(f"a string, a number, true, false or null is missing at character {self.position}")
        try:
            value: Scalar = DECODER.decode(match[0])
        except ValueError as error:
            raise self.problem(f"the number at character {self.position} is broken") from error
        self.position = match.end()
        return value

    def items(self) -> Iterator[int]:
        """The indices of an array; the caller reads the value at each."""
        self.expect("[")
        if self.accept("]"):
            return
        number = 0
        yield number
        while self.accept(","):
            number += 1
            yield number
        self.expect("]")

    def members(self, max_count: int, known: frozenset[str] | None = None) -> Iterator[str]:
        """The member names of an object, each at most once; the caller reads the value of each."""
        self.expect("{")
        if self.accept("}"):
            return
        seen: set[str] = set()
        while True:
            name = self.string()
            if name in seen or len(seen) == max_count or (known is not None and name not in known):
                raise self.problem(f"the member {name[:80]!r} is unknown, repeated, or one too many")
            seen.add(name)
            self.expect(":")
            yield name
            if not self.accept(","):
                break
        self.expect("}")

    def begin_object(self, member: str) -> None:
        """The start of an object, up to the value of its only member."""
        self.expect("{")
        self.expect_name(member)
        self.expect(":")

    def end_object(self) -> None:
        """The end of an object with one member."""
        if self.accept(","):
            self.expect_name(None)
        self.expect("}")

    def expect_name(self, expected: str | None) -> None:
        if (name := self.string()) != expected:
            raise self.problem(f"the member {name[:80]!r} is unknown or repeated")

    def problem(self, why: str) -> Problem:
        return Problem(400, "bad_json", f"the body must be JSON {self.expected_form}; {why}")


def reader_for(body: bytes, expected_form: str) -> Reader:
    try:
        return Reader(body.decode(), expected_form)
    except UnicodeDecodeError as error:
        raise Problem(400, "bad_json", f"the body must be JSON in UTF-8; byte {error.start} is not") from error
