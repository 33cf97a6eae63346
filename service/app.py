"""The application: the service, its routes, and what surrounds them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service.middleware import BodyLimitMiddleware, RequestMiddleware
from service.problems import answer_client_left, answer_http_exception, answer_validation_error
from service.routes import catalog, events, health, items, recommend, users
from service.scheduler import ClientLeftError
from service.service import Service
from service.settings import Settings, load_settings
from service.version import VERSION

DESCRIPTION = "Generative recommendation: semantic IDs of text and image, searched exactly within the live catalog."


def create_app(settings: Settings | None = None, on_failure: Callable[[], None] = lambda: None) -> FastAPI:
    """Makes the application.

    Args:
        settings: those of the environment if not given.
        on_failure: called if the bundle cannot be served, so that the process can end.
    """
    service = Service(settings or load_settings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Listens at once and loads meanwhile, so that probes get an answer."""
        running = asyncio.create_task(service.run(on_failure))
        yield
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await service.close()

    app = FastAPI(title="macrec", version=VERSION, description=DESCRIPTION, lifespan=lifespan)
    app.state.service = service
    for module in (recommend, events, users, items, catalog, health):
        app.include_router(module.router)
    app.add_exception_handler(HTTPException, answer_http_exception)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.add_exception_handler(ClientLeftError, answer_client_left)
    app.add_middleware(
        BodyLimitMiddleware, limit=service.settings.max_body, limits={"/items": service.settings.max_item_body}
    )
    app.add_middleware(RequestMiddleware, metrics=service.metrics)
    return app
