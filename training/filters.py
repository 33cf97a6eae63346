"""Which events stay: one of each, perhaps one per user and item, and only users and items with enough of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from model.config import Config
from training.readers.raw import Events


class KCore(Config):
    """The least events a user and an item must have, when all that have fewer are gone; 0 or 1 lets all stay."""

    users: int = Field(default=0, ge=0)
    items: int = Field(default=0, ge=0)


class Repeats(NamedTuple):
    """Masks ``(E,)``: ``duplicates`` have user, item and time of an earlier row; ``repeats`` meet an item again."""

    duplicates: NDArray[np.bool_]
    repeats: NDArray[np.bool_]


def time_order(events: Events) -> Events:
    """The events by user, then by time; events of one moment keep their order."""
    return events.take(np.lexsort((events.timestamps, events.users)))


def find_repeats(events: Events) -> Repeats:
    """Finds duplicates and repeats among events in time order; an event is at most one of the two."""
    order = np.lexsort((events.items, events.users))  # stable, so the events of one user and item stay in time order
    again = (np.diff(events.users[order]) == 0) & (np.diff(events.items[order]) == 0)
    same_time = again & (np.diff(events.timestamps[order]) == 0)
    return Repeats(_scatter(order, same_time), _scatter(order, again & ~same_time))


def k_core(users: NDArray[np.int32], items: NDArray[np.int32], core: KCore) -> NDArray[np.bool_]:
    """The largest set of events, bool ``(E,)``, in which every user and item has as many events as ``core`` asks."""
    kept = np.arange(len(users))
    while len(kept):
        enough = (np.bincount(users[kept]) >= core.users)[users[kept]] & (np.bincount(items[kept]) >= core.items)[
            items[kept]
        ]
        if enough.all():
            break
        kept = kept[enough]
    mask = np.zeros(len(users), dtype=np.bool_)
    mask[kept] = True
    return mask


def _scatter(order: NDArray[np.int64], later: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask over all events from one over neighbours in ``order``, which marks the later of each two."""
    mask = np.zeros(len(order), dtype=np.bool_)
    mask[order[1:]] = later
    return mask
