"""What route handlers ask for; asynchronous, for FastAPI gives every other function a thread of its own to wait for."""

import secrets
from typing import Annotated

from fastapi import Depends, Header
from starlette.requests import Request

from service.problems import UNAUTHORIZED, Problem
from service.scheduler import Leaving
from service.service import Service


async def get_service(request: Request) -> Service:
    """The service that this application runs."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


async def get_leaving(request: Request) -> Leaving:
    """A call that returns when the client has left; the body must have been read."""

    async def leaving() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return leaving


LeavingDep = Annotated[Leaving, Depends(get_leaving)]


async def require_key(service: ServiceDep, x_api_key: Annotated[str | None, Header()] = None) -> None:
    """Raises a 401 unless the request has the API key, if the server wants one."""
    wanted = service.settings.api_key
    if wanted is None:
        return
    if x_api_key is None or not secrets.compare_digest(x_api_key.encode(), wanted.get_secret_value().encode()):
        raise Problem(UNAUTHORIZED, "send the header X-API-Key", headers={"WWW-Authenticate": "ApiKey"})
