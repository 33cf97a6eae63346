"""Many requests for recommendations in one: admitted together, answered apart.

All rows that are valid get a place in the queue, or the whole batch is refused. They wait in a lane of their own, which
is served in turn with single requests (:mod:`service.scheduler`). What is wrong with a row is told in its place.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from pydantic import ValidationError

from service.answer import Asked, answer_admitted, check
from service.problems import INTERNAL, Problem, invalid, validation_problem
from service.scheduler import ClientLeftError, Leaving, Ticket
from service.schemas import RecommendRequest, RecommendResponse
from service.service import Service

log = logging.getLogger(__name__)


async def answer_batch(service: Service, rows: Sequence[Any], leaving: Leaving) -> list[RecommendResponse | Problem]:
    """Answers the rows of a batch in their order, each as it would be answered alone, or with its problem.

    Args:
        service: the running service.
        rows: bodies of requests, not yet validated.
        leaving: returns when the client has left.

    Raises:
        Problem: 422 for more rows than this server can take, 429 if the queue has no room for all, 503 while starting
            or draining.
        ClientLeftError: if the client left while rows waited.
    """
    service.snapshot()
    limit = min(service.settings.max_batch, service.scheduler.largest_batch)
    if len(rows) > limit:
        raise invalid("body.requests", f"{len(rows)} are over this server's limit of {limit}")
    checked = [_checked(service, row) for row in rows]
    asked = [each for each in checked if isinstance(each, Asked)]
    tickets = service.scheduler.admit_batch([each.seconds for each in asked]) if asked else []
    answers = iter(await _answer_all(service, asked, tickets, leaving))
    filled = [each if isinstance(each, Problem) else next(answers) for each in checked]
    failed = sum(isinstance(each, Problem) for each in filled)
    service.metrics.batch_rows.labels(result="failed").inc(failed)
    service.metrics.batch_rows.labels(result="answered").inc(len(filled) - failed)
    return filled


def _checked(service: Service, row: object) -> Asked | Problem:
    """A row that can be answered, or what is wrong with it."""
    try:
        return check(service, RecommendRequest.model_validate(row))
    except ValidationError as error:
        return validation_problem([{**each, "loc": ("body", *each["loc"])} for each in error.errors()])
    except Problem as problem:
        return problem


async def _answer_all(
    service: Service, asked: Sequence[Asked], tickets: Sequence[Ticket], leaving: Leaving
) -> list[RecommendResponse | Problem]:
    """Answers the valid rows side by side; their places are kept until the last one is answered."""
    gone = asyncio.create_task(leaving())

    async def left() -> None:
        await asyncio.shield(gone)

    with ExitStack() as places:
        for ticket in tickets:
            places.enter_context(ticket)
        try:
            return await asyncio.gather(
                *(_answer_row(service, row, ticket, left) for row, ticket in zip(asked, tickets, strict=True))
            )
        finally:
            gone.cancel()


async def _answer_row(service: Service, asked: Asked, ticket: Ticket, leaving: Leaving) -> RecommendResponse | Problem:
    """Answers one row; whatever happens to it, the others go on, unless the client has left."""
    try:
        return await answer_admitted(service, asked, ticket, leaving)
    except Problem as problem:
        return problem
    except ClientLeftError:
        raise
    except Exception:
        log.exception("a row of a batch failed")
        return Problem(INTERNAL, "an unexpected error; the log has it under this request id")
