"""Users' histories: what the service needs of a store, and one in memory.

A history is capped, ordered by time (events of one time by event id), and counts an event id once.
"""

import bisect
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class StoredEvent(NamedTuple):
    """A user met an item; ``timestamp`` in seconds."""

    user_id: str
    item_id: str
    timestamp: float
    event_id: str


class StoreUnavailableError(Exception):
    """The store does not answer; nothing is known about what it holds."""


class HistoryStore(Protocol):
    """Where histories are kept. Every method raises StoreUnavailableError if the store does not answer."""

    async def read(self, user_id: str) -> list[str]:
        """The item ids of a user's history, oldest first; empty for an unknown user."""

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """Stores events in any order and returns how many were new; doing it again changes nothing."""

    async def close(self) -> None:
        """Frees connections."""


class MemoryStore:
    """Histories of the users seen last, in this process only: they end with it."""

    def __init__(self, history_limit: int, max_users: int) -> None:
        """Keeps the latest ``history_limit`` events of each of at most ``max_users`` users."""
        self._history_limit = history_limit
        self._max_users = max_users
        self._histories: OrderedDict[str, list[tuple[float, str, str]]] = OrderedDict()

    async def read(self, user_id: str) -> list[str]:
        """See :class:`HistoryStore`."""
        return [item_id for _, _, item_id in self._histories.get(user_id, [])]

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """See :class:`HistoryStore`; the user not heard of for longest goes when there are too many."""
        added = sum(self._insert(event) for event in events)
        while len(self._histories) > self._max_users:
            self._histories.popitem(last=False)
        return added

    async def close(self) -> None:
        """See :class:`HistoryStore`."""

    def _insert(self, event: StoredEvent) -> bool:
        """Stores one event unless its id is known."""
        history = self._histories.setdefault(event.user_id, [])
        self._histories.move_to_end(event.user_id)
        if any(event_id == event.event_id for _, event_id, _ in history):
            return False
        bisect.insort(history, (event.timestamp, event.event_id, event.item_id))
        del history[: -self._history_limit]
        return True
