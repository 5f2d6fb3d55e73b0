"""Parts of the descriptions of all routes."""

from typing import Any

from vitrail.serving.http.problems import MEDIA_TYPE
from vitrail.serving.openapi.schemas import Json, ref

FILE: Json = {"type": "string", "contentMediaType": "application/octet-stream"}


def content(media_type: str, schema: Json) -> Json:
    return {media_type: {"schema": schema}}


def response(description: str, media_type: str, schema: Json) -> Json:
    return {"description": description, "content": content(media_type, schema)}


def problems(kind: str = "Problem", **descriptions: str) -> Json:
    """Error responses by status: `_404="when it occurs"`."""
    return {status.removeprefix("_"): response(text, MEDIA_TYPE, ref(kind)) for status, text in descriptions.items()}


def query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def get(name: str, summary: str, media_type: str, schema: Json, **others: Any) -> Json:
    """A path with the method GET."""
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "responses": {"200": response(summary, media_type, schema), **others},
        }
    }


RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds after which to try again", "schema": {"type": "integer", "minimum": 0}}
}


def with_retry_after(responses: Json) -> Json:
    return {status: {**each, "headers": RETRY_AFTER} for status, each in responses.items()}


def not_ready(kind: str = "Problem") -> Json:
    return with_retry_after(
        problems(kind, _503="The model is still loading, could not be loaded, or the server is stopping")
    )


def overloaded(kind: str = "Problem") -> Json:
    busy = "Too many images are waiting already, the model is not ready, or the server is stopping"
    late = "No response within the server's deadline, which VITRAIL_DEADLINE sets"
    return {**with_retry_after(problems(kind, _503=busy)), **problems(kind, _504=late)}
