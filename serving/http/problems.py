"""Errors as the caller sees them: application/problem+json (RFC 9457), one shape for every route."""

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
    """A request that gets an error for its answer; `code` is what a program reads, the text what a person does."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = headers

    def document(self) -> Document:
        """The members of RFC 9457, and `code`; the same for a whole answer and for one image of several."""
        return {
            "type": f"urn:vitrail:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": str(self),
            "code": self.code,
        }


def image_problem(fault: ImageError) -> Problem:
    return Problem(IMAGE_STATUS[type(fault)], fault.code, str(fault))


def problem_response(request: Request, problem: Problem, **more: Any) -> Response:
    """The problem as a whole answer."""
    return JSONResponse({**whole_document(request, problem), **more}, problem.status, problem.headers, MEDIA_TYPE)


def whole_document(request: Request, problem: Problem) -> Document:
    """With the request's id for whoever reads the log; clients of the v2 protocol look for the text in `error`."""
    document = {**problem.document(), "request_id": request.state.request_id}
    return {**document, "error": str(problem)} if f"{request.url.path}/".startswith("/v2/") else document


async def on_problem(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, Problem)
    clear_frames(fault.__traceback__)  # they hold the body, and this error again: until the next garbage collection
    return problem_response(request, fault)


async def on_http(request: Request, fault: Exception) -> Response:
    """What Starlette's router raises: no such route, or not with this method."""
    assert isinstance(fault, HTTPException)
    code = HTTP_CODES.get(fault.status_code, "bad_request")
    detail = f"{request.method} {request.url.path[:200]} is not served here; /docs.json lists what is"
    return problem_response(request, Problem(fault.status_code, code, detail, fault.headers))


async def on_client_gone(request: Request, fault: Exception) -> Response:
    """Nobody reads this answer; it only keeps a caller who hung up from counting as our failure."""
    return problem_response(request, Problem(400, "client_gone", "the connection closed before the body was complete"))


async def on_bug(request: Request, fault: Exception) -> Response:
    """A defect of ours: Starlette raises it again after this answer, so that the log has it whole."""
    return problem_response(request, Problem(500, "internal_error", "the server failed; its log has this request's id"))


HANDLERS = {Problem: on_problem, HTTPException: on_http, ClientDisconnect: on_client_gone, Exception: on_bug}
