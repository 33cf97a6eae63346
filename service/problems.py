"""Errors as problem details (RFC 9457): one JSON shape, a stable ``type`` for each kind, and never a stack trace."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from model.filters import TAG

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:macrec:problem:"
MAX_ERRORS = 20
CLIENT_CLOSED_REQUEST = 499
"""The status by which logs and metrics know a request whose client left; nobody receives it."""


class Kind(NamedTuple):
    """A kind of problem: the last part of its type, its status, and its title."""

    name: str
    status: HTTPStatus
    title: str


INVALID = Kind("invalid-request", HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid")
UNAUTHORIZED = Kind("unauthorized", HTTPStatus.UNAUTHORIZED, "An API key is needed")
UNKNOWN_ITEM = Kind("unknown-item", HTTPStatus.NOT_FOUND, "The catalog has no such item")
NO_ENCODER = Kind("no-encoder", HTTPStatus.CONFLICT, "This model cannot place new items")
LOG_DOWN = Kind("live-log-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Changes of items cannot be stored")
TOO_LARGE = Kind("body-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request body is too large")
QUEUE_FULL = Kind("queue-full", HTTPStatus.TOO_MANY_REQUESTS, "Too many requests are waiting")
STARTING = Kind("starting", HTTPStatus.SERVICE_UNAVAILABLE, "The service is still loading")
DRAINING = Kind("draining", HTTPStatus.SERVICE_UNAVAILABLE, "The service is shutting down")
STORE_DOWN = Kind("store-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "The history store cannot be written")
DEADLINE = Kind("deadline-exceeded", HTTPStatus.GATEWAY_TIMEOUT, "The answer was not ready in time")
INTERNAL = Kind("internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed")


class FieldError(BaseModel):
    """One thing that is wrong with a request: where, and what."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """What every error is answered with."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldError] = []


class Problem(HTTPException):
    """An error that is answered with problem details."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Makes a problem; ``retry_after`` (seconds) becomes the header of that name."""
        merged = dict(headers or {})
        if retry_after is not None:
            merged["Retry-After"] = str(retry_after)
        super().__init__(kind.status, detail, merged)
        self.kind = kind
        self.errors = errors


def invalid(field: str, message: str) -> Problem:
    """A 422 about one field of the body, the path or the query."""
    return Problem(INVALID, f"{field}: {message}", errors=[FieldError(field=field, message=message)])


def problem_details(problem: HTTPException, request_id: str | None) -> ProblemDetails:
    """What an error is answered with; one that the framework raised gets the type of its status."""
    status = HTTPStatus(problem.status_code)
    kind = problem.kind if isinstance(problem, Problem) else Kind(_slug(status), status, status.phrase)
    return ProblemDetails(
        type=TYPE_PREFIX + kind.name,
        title=kind.title,
        status=kind.status,
        detail=problem.detail,
        request_id=request_id,
        errors=list(problem.errors) if isinstance(problem, Problem) else [],
    )


def problem_response(problem: HTTPException, request_id: str | None) -> JSONResponse:
    """The response to an error."""
    body = problem_details(problem, request_id).model_dump(exclude_defaults=True)
    return JSONResponse(body, problem.status_code, dict(problem.headers or {}), MEDIA_TYPE)


async def answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    """The handler of problems and of the framework's own errors (404, 405, unreadable bodies)."""
    assert isinstance(error, HTTPException)
    return problem_response(error, request.scope.get("request_id"))


async def answer_validation_error(request: Request, error: Exception) -> JSONResponse:
    """The handler of bodies, paths and queries that break their schema; what was sent is not echoed."""
    assert isinstance(error, RequestValidationError)
    return problem_response(validation_problem(error.errors()), request.scope.get("request_id"))


def validation_problem(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The 422 for what pydantic found."""
    found = [FieldError(field=_field(each["loc"]), message=str(each["msg"])) for each in errors[:MAX_ERRORS]]
    return Problem(INVALID, "; ".join(f"{each.field}: {each.message}" for each in found), errors=found)


async def answer_client_left(_request: Request, _error: Exception) -> Response:
    """The handler of requests whose client has left."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How the API's documentation shows the problems of a route."""
    schema = ProblemDetails.model_json_schema()
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def _field(location: Sequence[object]) -> str:
    """Where something is wrong, without the parts that name the form of a filter rather than a field."""
    return ".".join(str(part) for part in location if not str(part).startswith(TAG))


def _slug(status: HTTPStatus) -> str:
    """``Method Not Allowed`` as ``method-not-allowed``."""
    return status.phrase.lower().replace(" ", "-")
