"""Histories in this process only: they end with it."""

import time
from collections.abc import Callable, Sequence

from service.histories import Histories
from service.store import Deletion, HistoryLimits, StoredEvent


class MemoryStore:
    """Histories in memory; see :class:`service.store.HistoryStore`."""

    def __init__(self, limits: HistoryLimits, clock: Callable[[], float] = time.time) -> None:
        """Keeps what ``limits`` allow; ``clock`` gives seconds."""
        self._histories = Histories(limits)
        self._clock = clock

    async def open(self) -> None:
        """See :class:`service.store.HistoryStore`."""

    async def read(self, user_id: str) -> list[str]:
        """See :class:`service.store.HistoryStore`."""
        return self._histories.read(user_id, self._clock())

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """See :class:`service.store.HistoryStore`."""
        now = self._clock()
        return sum(self._histories.apply(event, now) for event in events)

    async def delete(self, user_id: str) -> int:
        """See :class:`service.store.HistoryStore`."""
        return self._histories.apply(Deletion(user_id), self._clock())

    async def close(self) -> None:
        """See :class:`service.store.HistoryStore`."""
