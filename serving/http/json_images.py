"""The images in a JSON body, {"images": [{"b64": "…"}]}: read strictly, in one pass, as far as it is right."""

from binascii import a2b_base64
from collections.abc import Iterator

from vitrail.serving.http.json_reader import reader_of
from vitrail.serving.http.problems import Problem

SHAPE = '{"images": [{"b64": "…"}]}'


def images(body: bytes) -> Iterator[bytes]:
    """Each image as it is reached; what follows the last one that is taken is never looked at."""
    reader = reader_of(body, f"of the form {SHAPE}")
    reader.open("images")
    for number in reader.items():
        reader.open("b64")
        text = reader.string()
        reader.close()
        yield image(text, f"images[{number}].b64")
    reader.close()
    reader.expect_end()


def image(text: str, where: str) -> bytes:
    """The bytes of one image, from the base64 text that stands there."""
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as fault:
        why = "give what follows the comma of a data: address" if text.startswith("data:") else str(fault)
        raise Problem(400, "bad_base64", f"{where} is not base64 of an image's bytes: {why}") from fault
