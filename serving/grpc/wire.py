"""Raw contents taken out of an inference request before it is parsed: bytes of tensors are not copied or walked."""

from collections.abc import Iterator

from vitrail.serving.http.problems import Problem

RAW = 7  # the number of `raw_input_contents` in ModelInferRequest
MAX_REST = 262_144  # bytes of everything else: parsing it takes at most milliseconds
MAX_FIELDS = 1000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
FIXED = {FIXED64: 8, FIXED32: 4}


def split_raw(message: bytes) -> tuple[bytes, list[memoryview]]:
    """The message without its raw contents, and these; refused where the rest is large."""
    view, raw, rest = memoryview(message), [], bytearray()
    for begin, end, is_raw, content in fields(view):
        if is_raw:
            raw.append(view[content:end])
            continue
        rest += view[begin:end]
        if len(rest) > MAX_REST:
            raise Problem(
                400,
                "bad_message",
                f"beside raw_input_contents a request has at most {MAX_REST:,} bytes: send tensors as raw contents",
            )
    return bytes(rest), raw


def fields(view: memoryview) -> Iterator[tuple[int, int, bool, int]]:
    """Each field of the message: where it begins and ends, whether it is raw contents, and where these begin."""
    at = count = 0
    while at < len(view):
        begin, count = at, count + 1
        if count > MAX_FIELDS:
            raise Problem(400, "bad_message", f"a request has at most {MAX_FIELDS:,} fields")
        tag, at = varint(view, at)
        content, kind = at, tag & 7
        if kind == BYTES:
            length, content = varint(view, at)
            at = content + length
        elif kind == VARINT:
            _, at = varint(view, at)
        elif kind in FIXED:
            at += FIXED[kind]
        else:
            raise broken()
        if at > len(view):
            raise broken()
        yield begin, at, tag == RAW << 3 | BYTES, content


def varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise broken()


def broken() -> Problem:
    return Problem(400, "bad_message", "this is not a message of the Open Inference Protocol")
