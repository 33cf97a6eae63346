"""Users' histories: what the service needs of a store.

A history is the latest events of a user, ordered by time (events of one time by event id). An event id counts once: ids
are remembered somewhat beyond the history, so that an event that was capped away a while ago is still known. An event
that is older than everything remembered of a full history changes nothing, whether or not it came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class StoredEvent(NamedTuple):
    """A user met an item; ``timestamp`` in seconds."""

    user_id: str
    item_id: str
    timestamp: float
    event_id: str


class Deletion(NamedTuple):
    """A user is to be forgotten."""

    user_id: str


@dataclass(frozen=True)
class HistoryLimits:
    """How much is kept.

    Attributes:
        history: events in a history, the latest.
        remembered: further events whose ids are known, the latest that were capped away.
        users: users kept, those with the latest changes; only where they are kept in this process.
        ttl: seconds after its last change that a history is kept; for ever if None.
    """

    history: int
    remembered: int = 0
    users: int = 1 << 62
    ttl: float | None = None

    @property
    def window(self) -> int:
        """Events kept of a user in all."""
        return self.history + self.remembered


class StoreUnavailableError(Exception):
    """The store does not answer, or cannot keep what it is given."""


class HistoryStore(Protocol):
    """Where histories are kept. Every method but the first raises StoreUnavailableError if it cannot do its work."""

    async def open(self) -> None:
        """Makes the store ready; raises ConfigError or DataError if that cannot be, and waiting would not help."""

    async def read(self, user_id: str) -> list[str]:
        """The item ids of a user's history, oldest first; empty for an unknown user."""

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """Stores events in any order and returns how many are now kept that were not; again, it changes nothing."""

    async def delete(self, user_id: str) -> int:
        """Forgets a user, remembered event ids included, and returns how many events were kept."""

    async def close(self) -> None:
        """Lets running writes end and frees connections and files."""
