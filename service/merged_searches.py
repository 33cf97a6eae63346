"""Searches that threads ask for at the same moment, run as one.

The first one opens a group and leads it: once the group may run, it runs all that has joined meanwhile, those over the
same trie under the same filter and of the same width. While nothing else runs nobody waits for company, unless told to;
under load groups fill while earlier ones run.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from service.search_rows import Leaves, SearchRows, TrieInputs, join_rows, part_leaves

log = logging.getLogger(__name__)

Run = Callable[[TrieInputs, SearchRows], Leaves]


class Merging(NamedTuple):
    """How searches are run as one.

    Attributes:
        most: searches in a group; 1 runs each alone.
        wait: seconds that a group waits for more than are there.
        runs: groups that run at once.
    """

    most: int = 1
    wait: float = 0.0
    runs: int = 1


class _Group:
    """Searches that will run as one, in the order of their coming, each with where its result goes."""

    def __init__(self, trie: TrieInputs) -> None:
        self.trie = trie
        self.members: list[tuple[SearchRows, Future[Leaves | None]]] = []
        self.is_full = threading.Event()


class MergedSearches:
    """Runs searches in groups; threads share it."""

    def __init__(self, run: Run, merging: Merging) -> None:
        """Runs groups with ``run``."""
        self._run = run
        self._merging = merging
        self._turns = threading.BoundedSemaphore(merging.runs)
        self._open: dict[tuple[int, int], _Group] = {}
        self._lock = threading.Lock()

    def search(self, trie: TrieInputs, rows: SearchRows) -> Leaves:
        """What ``rows`` find, whether they run alone or with others'."""
        result: Future[Leaves | None] = Future()
        key = id(trie.values), rows.beam
        with self._lock:
            group, leads = self._open.get(key), False
            if group is None:
                group, leads = _Group(trie), True
                self._open[key] = group
            group.members.append((rows, result))
            if len(group.members) == self._merging.most:
                del self._open[key]
                group.is_full.set()
        if leads:
            self._lead(key, group)
        found = result.result()
        return self._run(trie, rows) if found is None else found

    def _lead(self, key: tuple[int, int], group: _Group) -> None:
        """Waits for company and for a turn, and runs the group."""
        if self._merging.wait:
            group.is_full.wait(self._merging.wait)
        with self._turns:
            with self._lock:
                if self._open.get(key) is group:
                    del self._open[key]
            self._run_all(group)

    def _run_all(self, group: _Group) -> None:
        """Runs a group as one; if that fails each runs alone, for one search's trouble is not the others'."""
        searches = [rows for rows, _ in group.members]
        found: Sequence[Leaves | None] = [None] * len(searches)
        try:
            found = part_leaves(self._run(group.trie, join_rows(searches)), searches)
        except Exception:
            log.exception("searches could not run as one", extra={"searches": len(searches)})
        for (_, result), leaves in zip(group.members, found, strict=True):
            result.set_result(leaves)
