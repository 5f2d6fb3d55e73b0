"""What the description of every route is made of."""

from typing import Any

from vitrail.serving.http.problems import MEDIA_TYPE
from vitrail.serving.openapi.schemas import Json, ref

FILE: Json = {"type": "string", "contentMediaType": "application/octet-stream"}


def content(media_type: str, schema: Json) -> Json:
    return {media_type: {"schema": schema}}


def good(what: str, media_type: str, schema: Json) -> Json:
    return {"description": what, "content": content(media_type, schema)}


def problems(kind: str = "Problem", **meanings: str) -> Json:
    """Answers that are problems: `_404="…"` → the status and when it comes."""
    return {status.removeprefix("_"): good(why, MEDIA_TYPE, ref(kind)) for status, why in meanings.items()}


def query(name: str, what: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": what, "schema": schema}


def get(name: str, what: str, media_type: str, schema: Json, **others: Any) -> Json:
    """A path that is only read."""
    return {
        "get": {"operationId": name, "summary": what, "responses": {"200": good(what, media_type, schema), **others}}
    }


RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds after which to try again", "schema": {"type": "integer", "minimum": 0}}
}


def retried(answers: Json) -> Json:
    """The same answers, which also say when to try again."""
    return {status: {**answer, "headers": RETRY_AFTER} for status, answer in answers.items()}


def not_ready(kind: str = "Problem") -> Json:
    return retried(problems(kind, _503="The model is still loading, could not be loaded, or the server is stopping"))


def overloaded(kind: str = "Problem") -> Json:
    busy = "Too many images are waiting already, the model is not ready, or the server is stopping"
    late = "No answer within the server's deadline, which VITRAIL_DEADLINE sets"
    return {**retried(problems(kind, _503=busy)), **problems(kind, _504=late)}
