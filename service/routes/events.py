"""Events: what users did, for their histories."""

import hashlib
import time
import uuid

from fastapi import APIRouter, Depends

from service.dependencies import ServiceDep, require_key
from service.problems import documented
from service.schemas import Event, EventBatch, EventResponse
from service.store import StoredEvent

router = APIRouter(tags=["events"], responses=documented(401, 413, 422, 503))

MOMENT = 1e-6
"""Seconds between the events of a batch that do not say when they were: they keep their order."""


@router.post("/events", dependencies=[Depends(require_key)])
async def add_events(body: Event | EventBatch, service: ServiceDep) -> EventResponse:
    """Adds one event, or up to 1,000, to users' histories; an answer means that they are stored durably.

    A batch with an event that is not valid is refused as a whole (422), and nothing of it is stored. After a 503 some
    of its events may be stored and some not: send all again, which is safe where an event has an id or a timestamp.
    Late events are put in their place, and repeated ones change nothing.
    """
    events = body.events if isinstance(body, EventBatch) else [body]
    now = time.time()
    stored = [_stored(event, now + place * MOMENT) for place, event in enumerate(events)]
    added = await service.add_events(stored)
    return EventResponse(received=len(events), added=added)


def _stored(event: Event, now: float) -> StoredEvent:
    """The event with what it did not say: now, and an id that is the same whenever a dated event is sent again."""
    if event.event_id is not None:
        event_id = event.event_id
    elif event.timestamp is not None:
        content = "\0".join([event.user_id, event.item_id, repr(event.timestamp)])
        event_id = hashlib.sha256(content.encode()).hexdigest()[:32]
    else:
        event_id = uuid.uuid4().hex
    timestamp = now if event.timestamp is None else event.timestamp
    return StoredEvent(event.user_id, event.item_id, timestamp, event_id)
