"""Error responses: application/problem+json (RFC 9457), one shape for every route."""

from collections.abc import Mapping
from traceback import clear_frames
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from vitrail.errors import CorruptImage, ImageError, ImageTooLarge, UnsupportedFormat, VitrailError

MEDIA_TYPE = "application/problem+json"
IMAGE_STATUS = {UnsupportedFormat: 415, CorruptImage: 422, ImageTooLarge: 413}
HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}

Document = dict[str, Any]


class Problem(VitrailError):
    """An error response; `code` is for programs, the message for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = headers
        self.members = members or {}  # extension members of the whole response

    def document(self) -> Document:
        """The members of RFC 9457 and `code`; used for whole responses and for one image of several."""
        return {
            "type": f"urn:vitrail:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": str(self),
            "code": self.code,
        }


def image_problem(error: ImageError) -> Problem:
    return Problem(IMAGE_STATUS[type(error)], error.code, str(error))


def problem_response(request: Request, problem: Problem) -> Response:
    document = {**response_document(request, problem), **problem.members}
    return JSONResponse(document, problem.status, problem.headers, MEDIA_TYPE)


def response_document(request: Request, problem: Problem) -> Document:
    """The problem with the request's id, to be found in the log; v2 clients read the message from `error`."""
    document = {**problem.document(), "request_id": request.state.request_id}
    return {**document, "error": str(problem)} if f"{request.url.path}/".startswith("/v2/") else document


async def on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    clear_frames(error.__traceback__)  # else they hold the body until the next garbage collection
    return problem_response(request, error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Raised by Starlette's router: no such route, or another method."""
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "bad_request")
    detail = f"{request.method} {request.url.path[:200]} is not served here; /docs.json lists what is"
    return problem_response(request, Problem(error.status_code, code, detail, error.headers))


async def on_client_gone(request: Request, error: Exception) -> Response:
    """The client never receives this response; it keeps a disconnect from being counted as an internal error."""
    return problem_response(request, Problem(400, "client_gone", "the connection closed before the body was complete"))


async def on_internal_error(request: Request, error: Exception) -> Response:
    """Any other exception; Starlette raises it again after this response, so that the log has the traceback."""
    return problem_response(
        request, Problem(500, "internal_error", "the server failed; its log has the traceback and this request's id")
    )


HANDLERS = {
    Problem: on_problem,
    HTTPException: on_http_exception,
    ClientDisconnect: on_client_gone,
    Exception: on_internal_error,
}
