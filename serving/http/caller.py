"""Who sent the request that is being handled: callers take turns, whatever the number of their requests."""

from contextvars import ContextVar

from starlette.types import Scope

CALLER: ContextVar[str] = ContextVar("caller", default="")  # of the current task


def address_of(scope: Scope) -> str:
    """The address that the connection comes from, or the one that a trusted proxy says: uvicorn has put it there."""
    client = scope.get("client")
    return client[0] if client else ""
