"""A place in a JSON text, moved on by what is asked for there."""

import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Never

from vitrail.serving.http.problems import Problem

SPACE = re.compile(r"[ \t\n\r]*+")
SCALAR = re.compile(r"-?[0-9][0-9.eE+-]{0,40}+|true|false|null")

Scalar = str | int | float | bool | None


def no_constant(name: str) -> Never:
    raise JSONDecodeError(f"{name} is no JSON", "", 0)


DECODER = JSONDecoder(parse_constant=no_constant)


class Reader:
    """Reads only what its caller expects, in one pass.

    What is read here has little depth and little choice, so a general parser would only build what is to be
    refused: here the first surprise ends the reading, however deep or wide the rest may be.
    """

    def __init__(self, text: str, form: str) -> None:
        self.text = text
        self.form = form  # what was asked for, in words that follow "the body must be JSON"
        self.at = 0

    def finds(self, sign: str) -> bool:
        """Whether this sign comes next; if so it is passed."""
        self.skip_space()
        found = self.text.startswith(sign, self.at)
        self.at += len(sign) * found
        return found

    def skip_space(self) -> None:
        if space := SPACE.match(self.text, self.at):
            self.at = space.end()

    def expect(self, sign: str) -> None:
        if not self.finds(sign):
            raise self.bad(f"{sign!r} is missing at character {self.at}")

    def expect_end(self) -> None:
        self.skip_space()
        if self.at < len(self.text):
            raise self.bad(f"more follows at character {self.at}")

    def string(self) -> str:
        self.expect('"')
        try:
            value, self.at = DECODER.raw_decode(self.text, self.at - 1)
        except JSONDecodeError as fault:
            raise self.bad(f"the string at character {fault.pos} is broken") from fault
        return str(value)

    def scalar(self) -> Scalar:
        """A text, a number, true, false or null."""
        self.skip_space()
        if self.text.startswith('"', self.at):
            return self.string()
        found = SCALAR.match(self.text, self.at)
        if found is None:
            raise self.bad(f"a text, a number, true, false or null is missing at character {self.at}")
        try:
            value: Scalar = DECODER.decode(found[0])
        except ValueError as fault:
            raise self.bad(f"the number at character {self.at} is broken") from fault
        self.at = found.end()
        return value

    def items(self) -> Iterator[int]:
        """The places of an array, counted; the caller reads what stands at each."""
        self.expect("[")
        if self.finds("]"):
            return
        number = 0
        yield number
        while self.finds(","):
            number += 1
            yield number
        self.expect("]")

    def members(self, most: int, known: frozenset[str] | None = None) -> Iterator[str]:
        """The names in an object, each at most once; the caller reads the value of each."""
        self.expect("{")
        if self.finds("}"):
            return
        seen: set[str] = set()
        while True:
            name = self.string()
            if name in seen or len(seen) == most or (known is not None and name not in known):
                raise self.bad(f"the member {name[:80]!r} is unknown, there twice, or one too many")
            seen.add(name)
            self.expect(":")
            yield name
            if not self.finds(","):
                break
        self.expect("}")

    def open(self, member: str) -> None:
        """The beginning of an object, up to the value of its one member."""
        self.expect("{")
        self.name(member)
        self.expect(":")

    def close(self) -> None:
        """The end of such an object."""
        if self.finds(","):
            self.name(None)
        self.expect("}")

    def name(self, expected: str | None) -> None:
        if (name := self.string()) != expected:
            raise self.bad(f"the member {name[:80]!r} is unknown, or there twice")

    def bad(self, why: str) -> Problem:
        return Problem(400, "bad_json", f"the body must be JSON {self.form}; {why}")


def reader_of(body: bytes, form: str) -> Reader:
    try:
        return Reader(body.decode(), form)
    except UnicodeDecodeError as fault:
        raise Problem(400, "bad_json", f"the body must be JSON in UTF-8; byte {fault.start} is not") from fault
