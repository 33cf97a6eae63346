"""Events: what users did, for their histories."""

import hashlib
import time
import uuid

from fastapi import APIRouter, Depends

from service.dependencies import ServiceDep, require_key
from service.problems import STORE_DOWN, Problem, documented
from service.schemas import Event, EventBatch, EventResponse
from service.store import StoredEvent, StoreUnavailableError

router = APIRouter(tags=["events"], responses=documented(401, 422, 503))


@router.post("/events", dependencies=[Depends(require_key)])
async def add_events(body: Event | EventBatch, service: ServiceDep) -> EventResponse:
    """Appends one event or several to users' histories; an event that was sent before changes nothing."""
    events = body.events if isinstance(body, EventBatch) else [body]
    now = time.time()
    try:
        added = await service.histories.append([_stored(event, now) for event in events])
    except StoreUnavailableError as error:
        raise Problem(STORE_DOWN, "nothing may have been stored; send the same events again", retry_after=1) from error
    service.metrics.events.inc(added)
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
