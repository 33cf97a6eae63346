"""What filters allow in a catalog, kept for the requests that ask the same.

An entry belongs to one catalog as it stood at one moment, so a swap makes no entry wrong; those of an older one go when
the space is needed. Threads that ask for the same new filter at once wait for one of them to work it out.
"""

import math
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.allowed import Allowed
from model.filters import Filter
from service.engine import TrieInputs
from service.snapshot import Snapshot

DEFAULT_BYTES = 512 << 20
RECENT = 8
RECENT_SECONDS = 60.0
"""How many filters are made ready for a new catalog, and how long ago a request may have asked for them."""


class Restriction(NamedTuple):
    """What a filter allows, and the trie's inputs with it."""

    allowed: Allowed
    inputs: TrieInputs


Key = tuple[int, str, bool]
"""A catalog's serial number, a filter, and whether of new items alone."""


class _Entry:
    """A restriction that is there or being worked out; None as a result stands for a catalog without restriction."""

    def __init__(self, rule: Filter | None, new_only: bool) -> None:
        self.rule = rule
        self.new_only = new_only
        self.used_at = -math.inf
        self.result: Future[Restriction | None] = Future()
        self.nbytes = 0


class FilterCache:
    """The filters used last, within a number of bytes; threads may share it."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        """Keeps ``max_bytes`` of arrays, and always the filter that was worked out last."""
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that are kept."""
        with self._lock:
            return self._nbytes()

    def get(
        self, snapshot: Snapshot, rule: Filter | None, *, new_only: bool = False
    ) -> tuple[Restriction | None, bool]:
        """What a filter allows in a snapshot, of new items alone if asked for, and whether that was known.

        Without a filter it is what the catalog itself allows; None where that is every item.
        """
        return self._find(snapshot, _Entry(rule, new_only), time.monotonic())

    def prepare(self, snapshot: Snapshot) -> None:
        """Works out for a snapshot that is not served yet the filters that requests used lately."""
        since = time.monotonic() - RECENT_SECONDS
        with self._lock:
            used = sorted(self._entries.items(), key=lambda each: each[1].used_at)
        recent = {key[1:]: entry for key, entry in used if entry.used_at > since and entry.result.done()}
        for entry in sorted(recent.values(), key=lambda entry: entry.used_at)[-RECENT:]:
            self._find(snapshot, _Entry(entry.rule, entry.new_only), entry.used_at)

    def _find(self, snapshot: Snapshot, asked: _Entry, used_at: float) -> tuple[Restriction | None, bool]:
        """What ``asked``, an entry without a result, allows in a snapshot; notes when a request wanted to know."""
        key = (snapshot.catalog.serial, "" if asked.rule is None else asked.rule.key, asked.new_only)
        with self._lock:
            known = key in self._entries
            entry = self._entries.setdefault(key, asked)
            entry.used_at = max(entry.used_at, used_at)
            self._entries.move_to_end(key)
        if not known:
            self._work_out(snapshot, key, entry)
        return entry.result.result(), known

    def _work_out(self, snapshot: Snapshot, key: Key, entry: _Entry) -> None:
        """Fills an entry and makes room for it; a failure is everybody's who waits, and is not kept."""
        try:
            restriction = restrict(snapshot, entry.rule, new_only=entry.new_only)
        except BaseException as error:
            with self._lock:
                self._entries.pop(key, None)
            entry.result.set_exception(error)
            raise
        entry.nbytes = 0 if restriction is None else restriction.allowed.nbytes
        entry.result.set_result(restriction)
        with self._lock:
            while self._nbytes() > self.max_bytes and (oldest := self._oldest(key)) is not None:
                del self._entries[oldest]

    def _oldest(self, spared: Key) -> Key | None:
        """The entry with arrays that was used longest ago, but for one; the lock is held."""
        return next((key for key, entry in self._entries.items() if entry.nbytes and key != spared), None)

    def _nbytes(self) -> int:
        """Bytes of all arrays; the lock is held."""
        return sum(entry.nbytes for entry in self._entries.values())


def restrict(snapshot: Snapshot, rule: Filter | None, *, new_only: bool = False) -> Restriction | None:
    """Works out what a filter allows in a snapshot, of new items alone if asked for; None where that is every item."""
    items = snapshot.catalog.allowed_items(rule)
    if new_only:
        new = ~snapshot.catalog.trained
        items = new if items is None else items & new
    return None if items is None else restriction_of(snapshot, items)


def restriction_of(snapshot: Snapshot, items: NDArray[np.bool_]) -> Restriction:
    """What a mask ``(N,)`` over a snapshot's items allows."""
    allowed = Allowed.of(snapshot.catalog.trie, items)
    return Restriction(allowed, snapshot.engine.restrict(snapshot.trie, allowed.edges))
