"""The encoded images in a request: parts of a multipart body, members of a JSON one, or the body itself."""

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import Request

from vitrail.serving.http import json_images as json_in
from vitrail.serving.http.body import is_compressed, read_body
from vitrail.serving.http.form import parts_of
from vitrail.serving.http.problems import Problem

if TYPE_CHECKING:
    from vitrail.serving.engine.engine import Engine

FIELD = "image"
MAX_IMAGES = 32

T = TypeVar("T")


async def images_in(request: Request) -> list[bytes]:
    """Every image of the request, in order; at least one. No value is ever taken for an address."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = kind in ("", "application/octet-stream") or kind.startswith("image/")
    if not (raw or kind in ("multipart/form-data", "application/json")):
        raise Problem(
            415,
            "unsupported_media_type",
            f"send multipart/form-data with the field 'image', application/json as {json_in.SHAPE}, "
            "or the image itself as image/…",
            {"accept": "multipart/form-data, application/json, image/*"},
        )
    if is_compressed(request):
        raise Problem(415, "unsupported_encoding", "the body must not be compressed: images already are")
    body = await read_body(request)
    if raw:
        return [body]
    engine: Engine = request.app.state.engine
    read = members if kind == "application/json" else partial(files, request.headers["content-type"])
    return await engine.read(partial(read, body), len(body))


def members(body: bytes) -> list[bytes]:
    """The images of a JSON body; of too many, one too many is read."""
    images = list(islice(json_in.images(body), MAX_IMAGES + 1))
    if not images:
        raise Problem(422, "missing_image", "the list 'images' is empty")
    return not_too_many(images)


def not_too_many(images: list[T]) -> list[T]:
    if len(images) > MAX_IMAGES:
        raise Problem(413, "too_many_images", f"more than {MAX_IMAGES} images were sent in one request")
    return images


def files(content_type: str, body: bytes) -> list[bytes]:
    """The files of a form that has nothing but images in it, and not too many of them."""
    parts = parts_of(body, content_type)
    for part in parts:
        if part.name != FIELD:
            raise Problem(422, "unknown_field", f"the field {part.name[:80]!r} is unknown; images go into 'image'")
        if not part.is_file:
            raise Problem(422, "not_a_file", "the field 'image' must be a file, with a filename, not text")
    if not parts:
        raise Problem(422, "missing_image", "the form has no file field 'image'")
    return [part.content for part in not_too_many(parts)]
