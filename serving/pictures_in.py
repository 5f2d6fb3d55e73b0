"""The encoded pictures in a request: parts of a multipart body, members of a JSON one, or the body itself."""

from collections.abc import AsyncGenerator
from itertools import islice
from typing import TypeVar

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vitrail.serving import json_in
from vitrail.serving.body import MAX_BODY, read_body
from vitrail.serving.problems import Problem

FIELD = "image"
MAX_PICTURES = 32
MAX_PARTS = 1000
LONGEST_TYPE = 200  # a boundary has at most 70 characters

T = TypeVar("T")


class PartsInMemory(MultiPartParser):
    """Starlette's parser, without its temporary files: the body is in memory already, and bounded."""

    spool_max_size = MAX_BODY


async def pictures_in(request: Request) -> list[bytes]:
    """Every picture of the request, in order; at least one. No value is ever taken for an address."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = kind in ("", "application/octet-stream") or kind.startswith("image/")
    if not (raw or kind in ("multipart/form-data", "application/json")):
        raise Problem(
            415,
            "unsupported_media_type",
            f"send multipart/form-data with the field 'image', application/json as {json_in.SHAPE}, "
            "or the picture itself as image/…",
            {"accept": "multipart/form-data, application/json, image/*"},
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_encoding", "the body must not be compressed: pictures already are")
    body = await read_body(request)
    if raw:
        return [body]
    return members(body) if kind == "application/json" else await parts(request, body)


def members(body: bytes) -> list[bytes]:
    """The pictures of a JSON body; of too many, one too many is read."""
    pictures = list(islice(json_in.pictures(body), MAX_PICTURES + 1))
    if not pictures:
        raise Problem(422, "missing_image", "the list 'images' is empty")
    return not_too_many(pictures)


def not_too_many(pictures: list[T]) -> list[T]:
    if len(pictures) > MAX_PICTURES:
        raise Problem(413, "too_many_pictures", f"more than {MAX_PICTURES} pictures were sent in one request")
    return pictures


async def parts(request: Request, body: bytes) -> list[bytes]:
    """The files of the field `image`."""
    if len(request.headers["content-type"]) > LONGEST_TYPE:
        raise Problem(400, "bad_multipart", "the boundary of the multipart body is too long")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = PartsInMemory(request.headers, stream(), max_files=MAX_PARTS, max_fields=MAX_PARTS)
    try:
        form = await parser.parse()
    except MultiPartException as fault:
        raise Problem(400, "bad_multipart", f"the multipart body cannot be read: {fault.message}") from fault
    return [await file.read() for file in chosen(form.multi_items())]


def chosen(items: list[tuple[str, UploadFile | str]]) -> list[UploadFile]:
    """The files of a form that has nothing but pictures in it, and not too many of them."""
    for name, value in items:
        if name != FIELD:
            raise Problem(422, "unknown_field", f"the field {name[:80]!r} is unknown; pictures go into 'image'")
        if isinstance(value, str):
            raise Problem(422, "not_a_file", "the field 'image' must be a file, with a filename, not text")
    files = [value for _, value in items if isinstance(value, UploadFile)]
    if not files:
        raise Problem(422, "missing_image", "the form has no file field 'image'")
    return not_too_many(files)
