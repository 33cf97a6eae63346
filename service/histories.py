"""Histories of many users in memory, and nothing of where else they are kept."""

import bisect
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from service.store import Deletion, HistoryLimits, StoredEvent

Entry = tuple[float, str, str]
"""Timestamp, event id and item id: what a history is sorted by, and what it holds."""
_EVENT_ID = itemgetter(1)


@dataclass
class _Kept:
    """What is kept of a user: entries in ascending order, and when they last changed."""

    changed: float = 0.0
    entries: list[Entry] = field(default_factory=list)


class Histories:
    """The histories of the users with the latest changes. Times of change come from the caller, in seconds."""

    def __init__(self, limits: HistoryLimits) -> None:
        """Starts empty."""
        self._limits = limits
        self._users: OrderedDict[str, _Kept] = OrderedDict()
        self.events = 0
        """Events kept of all users."""

    def __len__(self) -> int:
        """Users kept."""
        return len(self._users)

    def read(self, user_id: str, now: float) -> list[str]:
        """The item ids of a user's history, oldest first."""
        kept = self._users.get(user_id)
        if kept is None or self._is_over(kept, now):
            return []
        return [item_id for _, _, item_id in kept.entries[-self._limits.history :]]

    def knows(self, event: StoredEvent, now: float) -> bool:
        """Whether the event's id is kept."""
        kept = self._users.get(event.user_id)
        return kept is not None and not self._is_over(kept, now) and _holds(kept, event.event_id)

    def apply(self, change: StoredEvent | Deletion, now: float) -> int:
        """Stores an event (1 if it is kept now and was not) or forgets a user (how many events were kept)."""
        self._drop_over(change.user_id, now)
        if isinstance(change, Deletion):
            return self._drop(change.user_id)
        return int(self._insert(change, now))

    def contents(self) -> Iterator[tuple[float, list[StoredEvent]]]:
        """Every user's last change and kept events, the user who changed first at the beginning."""
        for user_id, kept in self._users.items():
            yield (
                kept.changed,
                [StoredEvent(user_id, item_id, timestamp, event_id) for timestamp, event_id, item_id in kept.entries],
            )

    def _insert(self, event: StoredEvent, now: float) -> bool:
        """Puts one event in its place unless it is known or too old."""
        kept = self._users.get(event.user_id) or _Kept()
        entry = (event.timestamp, event.event_id, event.item_id)
        is_full = len(kept.entries) >= self._limits.window
        if _holds(kept, event.event_id) or (is_full and entry < kept.entries[0]):
            return False
        bisect.insort(kept.entries, entry)
        if is_full:
            del kept.entries[0]
        self.events += not is_full
        kept.changed = now
        self._users[event.user_id] = kept
        self._users.move_to_end(event.user_id)
        if len(self._users) > self._limits.users:
            self._drop(next(iter(self._users)))
        return True

    def _drop(self, user_id: str) -> int:
        """Forgets a user."""
        kept = self._users.pop(user_id, _Kept())
        self.events -= len(kept.entries)
        return len(kept.entries)

    def _drop_over(self, user_id: str, now: float) -> None:
        """Forgets users whose time is over: the given one, and those that stand first."""
        kept = self._users.get(user_id)
        if kept is not None and self._is_over(kept, now):
            self._drop(user_id)
        while self._users and self._is_over(next(iter(self._users.values())), now):
            self._drop(next(iter(self._users)))

    def _is_over(self, kept: _Kept, now: float) -> bool:
        """Whether a history was left alone for longer than it is kept."""
        return self._limits.ttl is not None and now >= kept.changed + self._limits.ttl


def _holds(kept: _Kept, event_id: str) -> bool:
    """Whether an event id is kept; a look at every entry takes less memory than a set for each user."""
    return event_id in map(_EVENT_ID, kept.entries)
