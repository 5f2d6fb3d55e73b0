"""The encoded images in a request: parts of a multipart body, members of a JSON one, or the body itself."""

from binascii import a2b_base64
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from starlette.requests import Request

from vitrail.serving.contract import FIELD
from vitrail.serving.engine.engine import Engine
from vitrail.serving.http.body import is_compressed, read_body
from vitrail.serving.http.form import parse_form
from vitrail.serving.http.json_reader import reader_for
from vitrail.serving.http.problems import Problem
from vitrail.serving.settings import MAX_IMAGES

JSON_FORM = '{"images": [{"b64": "…"}]}'

T = TypeVar("T")


async def read_images(request: Request) -> list[bytes]:
    """All images of the request, in order; at least one. URLs are never fetched."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_raw = media_type in ("", "application/octet-stream") or media_type.startswith("image/")
    if not (is_raw or media_type in ("multipart/form-data", "application/json")):
        raise Problem(
            415,
            "unsupported_media_type",
            f"send multipart/form-data with the field 'image', application/json as {JSON_FORM}, "
            "or the image itself as image/…",
            {"accept": "multipart/form-data, application/json, image/*"},
        )
    if is_compressed(request):
        raise Problem(415, "unsupported_encoding", "the body must not be compressed: images already are")
    body = await read_body(request)
    if is_raw:
        return [body]
    engine: Engine = request.app.state.engine
    parse = (
        images_in_json if media_type == "application/json" else partial(images_in_form, request.headers["content-type"])
    )
    return await engine.decoder.parse(partial(parse, body), len(body))


def images_in_json(body: bytes) -> list[bytes]:
    images = list(islice(json_images(body), MAX_IMAGES + 1))
    if not images:
        raise Problem(422, "missing_image", "the list 'images' is empty")
    return require_max_images(images)


def json_images(body: bytes) -> Iterator[bytes]:
    """Each image as it is parsed; what follows the last one that is taken is never read."""
    reader = reader_for(body, f"of the form {JSON_FORM}")
    reader.begin_object("images")
    for number in reader.items():
        reader.begin_object("b64")
        text = reader.string()
        reader.end_object()
        yield decode_base64(text, f"images[{number}].b64")
    reader.end_object()
    reader.expect_end()


def decode_base64(text: str, where: str) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as error:
        why = "send only what follows the comma of a data: URL" if text.startswith("data:") else str(error)
        raise Problem(400, "bad_base64", f"{where} is not base64 of an image's bytes: {why}") from error


def images_in_form(content_type: str, body: bytes) -> list[bytes]:
    """The files of a form that has only images."""
    parts = parse_form(body, content_type)
    for part in parts:
        if part.name != FIELD:
            raise Problem(422, "unknown_field", f"the field {part.name[:80]!r} is unknown; images go into 'image'")
        if not part.is_file:
            raise Problem(422, "not_a_file", "the field 'image' must be a file, with a filename, not text")
    if not parts:
        raise Problem(422, "missing_image", "the form has no file field 'image'")
    return [part.content for part in require_max_images(parts)]


def require_max_images(images: list[T]) -> list[T]:
    if len(images) > MAX_IMAGES:
        raise Problem(413, "too_many_images", f"more than {MAX_IMAGES} images were sent in one request")
    return images
