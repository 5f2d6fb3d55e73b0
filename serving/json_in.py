"""The pictures in a JSON body, {"images": [{"b64": "…"}]}: read strictly, in one pass, as far as it is right."""

import re
from binascii import a2b_base64
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder

from vitrail.serving.problems import Problem

SHAPE = '{"images": [{"b64": "…"}]}'
SPACE = re.compile(r"[ \t\n\r]*+")
DECODER = JSONDecoder()


class Reader:
    """A place in a JSON text, moved on by what is asked for there.

    The shape has no depth and no choice, so a general parser would only build what is to be refused: here the
    first surprise ends the reading, however deep or wide the rest may be.
    """

    def __init__(self, text: str) -> None:
        self.text = text
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
        return Problem(400, "bad_json", f"the body must be JSON of the form {SHAPE}; {why}")


def pictures(body: bytes) -> Iterator[bytes]:
    """Each picture as it is reached; what follows the last one that is taken is never looked at."""
    try:
        reader = Reader(body.decode())
    except UnicodeDecodeError as fault:
        raise Problem(400, "bad_json", f"the body must be JSON in UTF-8; byte {fault.start} is not") from fault
    reader.open("images")
    reader.expect("[")
    if not reader.finds("]"):
        yield picture(reader, 0)
        number = 1
        while reader.finds(","):
            yield picture(reader, number)
            number += 1
        reader.expect("]")
    reader.close()
    reader.expect_end()


def picture(reader: Reader, number: int) -> bytes:
    reader.open("b64")
    text = reader.string()
    reader.close()
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as fault:
        why = "give what follows the comma of a data: address" if text.startswith("data:") else str(fault)
        raise Problem(400, "bad_base64", f"images[{number}].b64 is not base64 of a picture's bytes: {why}") from fault
