"""Values that threads share: each worked out once, however many ask at once, and kept within a number of bytes."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Entry(Generic[V]):
    """A value that is there or being worked out, and when somebody last wanted it."""

    def __init__(self) -> None:
        self.used_at = -math.inf
        self.value: Future[V] = Future()
        self.nbytes = 0


class Shared(Generic[K, V]):
    """Values by their keys, those used last; threads may share it."""

    def __init__(self, max_bytes: int, size: Callable[[V], int]) -> None:
        """Keeps ``max_bytes``, by what ``size`` says of each value, and always the value that was worked out last."""
        self.max_bytes = max_bytes
        self._size = size
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of all values that are kept."""
        return self._nbytes

    def get(self, key: K, make: Callable[[], V], used_at: float | None = None) -> tuple[V, bool]:
        """The value of a key, made if need be, and whether it was known; ``used_at`` is now if not given.

        Threads that ask for the same new key at once wait for one of them. A failure is everybody's who waits, and is
        not kept.
        """
        with self._lock:
            known = key in self._entries
            entry = self._entries.setdefault(key, _Entry())
            entry.used_at = max(entry.used_at, time.monotonic() if used_at is None else used_at)
            self._entries.move_to_end(key)
        if not known:
            self._fill(key, entry, make)
        return entry.value.result(), known

    def recent(self, since: float) -> list[tuple[K, V, float]]:
        """Keys and values that were used after ``since``, and when, the latest last."""
        with self._lock:
            entries = [(key, entry) for key, entry in self._entries.items() if entry.used_at > since]
        there = [(key, entry) for key, entry in entries if entry.value.done() and entry.value.exception() is None]
        return [(key, entry.value.result(), entry.used_at) for key, entry in sorted(there, key=lambda e: e[1].used_at)]

    def keep_only(self, wanted: Callable[[K], bool]) -> None:
        """Forgets all other keys; who waits for one of them still gets it."""
        with self._lock:
            for key in [key for key in self._entries if not wanted(key)]:
                self._forget(key)

    def _fill(self, key: K, entry: _Entry[V], make: Callable[[], V]) -> None:
        """Works a value out and makes room for it."""
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                if self._entries.get(key) is entry:
                    self._forget(key)
            entry.value.set_exception(error)
            raise
        with self._lock:
            if self._entries.get(key) is entry:
                entry.nbytes = self._size(value)
                self._nbytes += entry.nbytes
                self._make_room(key)
        entry.value.set_result(value)

    def _make_room(self, spared: K) -> None:
        """Forgets what was used longest ago until the rest fits; the lock is held."""
        while self._nbytes > self.max_bytes:
            oldest = next((key for key, entry in self._entries.items() if entry.nbytes and key != spared), None)
            if oldest is None:
                return
            self._forget(oldest)

    def _forget(self, key: K) -> None:
        """Forgets one key; the lock is held."""
        self._nbytes -= self._entries.pop(key).nbytes
