"""What surrounds every request, as plain ASGI: nothing here hides a client that leaves."""

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import request_id
from service.metrics import Metrics
from service.problems import INTERNAL, TOO_LARGE, Problem, problem_response

log = logging.getLogger("service.access")

MAX_REQUEST_ID = 128
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET = frozenset({"/livez", "/readyz", "/metrics"})


class RequestMiddleware:
    """Gives every request an id, a log line, a count, its timings, and an answer even when a handler fails."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Surrounds ``app``."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope["timings"] = {}
        token = request_id.set(scope["request_id"])
        try:
            await self._serve(scope, receive, send)
        finally:
            request_id.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application, and answers in its place if it raises before the response began."""
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = scope["request_id"]
                headers["Server-Timing"] = _server_timing(scope["timings"], time.perf_counter() - started)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("request failed")
            if status:
                raise
            problem = Problem(INTERNAL, "an unexpected error; the log has it under this request id")
            await problem_response(problem, scope["request_id"])(scope, receive, send_with_headers)
        finally:
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts and logs an answered request by its route, never by its path."""
        route = _route(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(route=route, method=method, status=str(status)).inc()
        level = logging.DEBUG if route in QUIET else logging.INFO
        details = {"method": method, "route": route, "status": status, "milliseconds": round(seconds * 1e3, 3)}
        log.log(level, "request", extra=details)


class BodyLimitMiddleware:
    """Refuses bodies over a limit, at once if their length is declared, else as soon as they exceed it."""

    def __init__(self, app: ASGIApp, limit: int, limits: Mapping[str, int]) -> None:
        """Surrounds ``app``; ``limit`` in bytes, and ``limits`` for paths that begin with a word."""
        self._app = app
        self._limit = limit
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((more for path, more in self._limits.items() if scope["path"].startswith(path)), self._limit)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await problem_response(_too_large(limit), scope.get("request_id"))(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self._app(scope, receive_limited, send)


def _too_large(limit: int) -> Problem:
    """The 413."""
    return Problem(TOO_LARGE, f"a body has at most {limit} bytes here; send less at a time")


def _request_id(given: str) -> str:
    """The client's id if it is fit to be logged, else a new one."""
    if 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex


def _server_timing(stages: dict[str, float], total: float) -> str:
    """Milliseconds of each stage and in total, as the header wants them."""
    milliseconds = {**stages, "total": total * 1e3}
    return ", ".join(f"{stage};dur={duration:.3f}" for stage, duration in milliseconds.items())


def _route(scope: Scope) -> str:
    """The template of the route that matched."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "unmatched"))
