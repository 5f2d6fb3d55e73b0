"""The encoded pictures in a request: parts of a multipart body, or the body itself."""

from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vitrail.serving.body import MAX_BODY, read_body
from vitrail.serving.problems import Problem

FIELD = "image"
MAX_PICTURES = 32
MAX_PARTS = 1000
LONGEST_TYPE = 200  # a boundary has at most 70 characters


class PartsInMemory(MultiPartParser):
    """Starlette's parser, without its temporary files: the body is in memory already, and bounded."""

    spool_max_size = MAX_BODY


async def pictures_in(request: Request) -> list[bytes]:
    """Every picture of the request, in order; at least one. No value is ever taken for an address."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    multipart = kind == "multipart/form-data"
    raw = kind in ("", "application/octet-stream") or kind.startswith("image/")
    if not (multipart or raw):
        raise Problem(
            415,
            "unsupported_media_type",
            "send multipart/form-data with the field 'image', or the picture itself as image/…",
            {"accept": "multipart/form-data, image/*"},
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_encoding", "the body must not be compressed: pictures already are")
    body = await read_body(request)
    return await parts(request, body) if multipart else [body]


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
    if len(files) > MAX_PICTURES:
        raise Problem(413, "too_many_pictures", f"{len(files)} pictures were sent; at most {MAX_PICTURES} are taken")
    return files
