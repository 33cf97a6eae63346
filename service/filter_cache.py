"""What filters allow in a catalog, kept for the requests that ask the same.

An entry belongs to one catalog as it stood at one moment, so a swap makes no entry wrong. As it holds on to that
catalog's trie, it is let go when the catalog after the next is made ready. Threads that ask for the same new filter at
once wait for one of them to work it out.
"""

import time
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from model.allowed import Allowed
from model.exclusions import allowed_without
from model.filters import Filter
from model.live_catalog import LiveCatalog
from service.groups import Group, members
from service.search_rows import TrieInputs
from service.shared import Shared
from service.snapshot import Snapshot

DEFAULT_BYTES = 512 << 20
RECENT = 8
RECENT_SECONDS = 60.0
"""How many filters are made ready for a new catalog, and how long ago a request may have asked for them."""
MEMBERS_SHARE = 8
"""Groups of items may take one byte in this many of what filters may."""
FIRST_LOOK = 1024
HEAD = 1 << 14
"""Popular items of a filter that are listed apart: more than a request may exclude."""
PASS_SHARE = 8
"""Where more than one item in this many is left out, a pass over the catalog is as quick as climbing from them."""
NO_GROUPS: frozenset[Group] = frozenset()


@dataclass(frozen=True)
class Restriction:
    """What a filter allows in a catalog, and the trie's inputs with it."""

    allowed: Allowed
    inputs: TrieInputs
    catalog: LiveCatalog

    @cached_property
    def items(self) -> NDArray[np.int64]:
        """The allowed items, ascending."""
        return np.flatnonzero(self.allowed.items)

    @cached_property
    def popular(self) -> tuple[NDArray[np.int32], ...]:
        """Items by popularity in parts, the allowed ones among them: at first HEAD allowed ones, or all if fewer."""
        return _popular(self.catalog, self.allowed.items)


@dataclass(frozen=True)
class Asked:
    """What is asked of one catalog: equal if it must have the same answer.

    Attributes:
        serial: the catalog's.
        key: the filter's, empty without one.
        new_only: whether of new items alone.
        full: groups whose items are left out too.
        rule: the filter.
    """

    serial: int
    key: str
    new_only: bool
    full: frozenset[Group]
    rule: Filter | None = field(compare=False)

    @classmethod
    def of(cls, catalog: LiveCatalog, rule: Filter | None, new_only: bool, full: frozenset[Group]) -> "Asked":
        """What a filter means in a catalog."""
        return cls(catalog.serial, "" if rule is None else rule.key, new_only, full, rule)


class FilterCache:
    """The filters used last, within a number of bytes; threads may share it."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        """Keeps ``max_bytes`` of arrays, and always the filter that was worked out last."""
        self.max_bytes = max_bytes
        self._restrictions: Shared[Asked, Restriction | None] = Shared(max_bytes, _nbytes)
        self._members: Shared[tuple[int, Group], NDArray[np.int64]] = Shared(
            max_bytes // MEMBERS_SHARE, lambda items: items.nbytes
        )
        self._prepared: tuple[int, ...] = ()

    def __len__(self) -> int:
        """How many filters are kept."""
        return len(self._restrictions)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that are kept."""
        return self._restrictions.nbytes + self._members.nbytes

    def get(
        self,
        snapshot: Snapshot,
        rule: Filter | None,
        *,
        new_only: bool = False,
        full: frozenset[Group] = NO_GROUPS,
    ) -> tuple[Restriction | None, bool]:
        """What a filter allows in a snapshot, and whether that was known.

        Without a filter it is what the catalog itself allows; None where that is every item.

        Args:
            snapshot: model and catalog.
            rule: the filter.
            new_only: whether to leave out all items that the generator saw.
            full: groups of items to leave out.
        """
        asked = Asked.of(snapshot.catalog, rule, new_only, full)
        return self._restrictions.get(asked, partial(self._restrict, snapshot, asked))

    def members(self, snapshot: Snapshot, group: Group) -> NDArray[np.int64]:
        """The items ``(n,)`` of a group, ascending."""
        catalog = snapshot.catalog
        return self._members.get((catalog.serial, group), partial(members, catalog, group))[0]

    def prepare(self, snapshot: Snapshot) -> None:
        """Works out for a snapshot that is not served yet the filters that requests used lately; forgets old ones."""
        catalog = snapshot.catalog
        used = self._restrictions.recent(time.monotonic() - RECENT_SECONDS)
        latest = {(asked.key, asked.new_only): (asked, found, at) for asked, found, at in used if not asked.full}
        for before, found, used_at in sorted(latest.values(), key=lambda each: each[2])[-RECENT:]:
            asked = Asked.of(catalog, before.rule, before.new_only, NO_GROUPS)
            known = found if before.serial == catalog.before else None
            made, _ = self._restrictions.get(asked, partial(self._restrict, snapshot, asked, known), used_at)
            if made is not None and found is not None and "popular" in vars(found):
                _ = made.popular
            if made is not None and found is not None and "items" in vars(found):
                _ = made.items
        self._prepared = (*self._prepared[-1:], catalog.serial)
        self._restrictions.keep_only(lambda asked: asked.serial in self._prepared)
        self._members.keep_only(lambda key: key[0] in self._prepared)

    def _restrict(self, snapshot: Snapshot, asked: Asked, known: Restriction | None = None) -> Restriction | None:
        if not asked.full:
            return restrict(snapshot, asked.rule, new_only=asked.new_only, known=known)
        known, _ = self.get(snapshot, asked.rule, new_only=asked.new_only)
        removed = np.unique(np.concatenate([self.members(snapshot, group) for group in asked.full]))
        return restrict_further(snapshot, known, removed)


def restrict(
    snapshot: Snapshot,
    rule: Filter | None,
    *,
    new_only: bool = False,
    known: Restriction | None = None,
) -> Restriction | None:
    """Works out what a filter allows in a snapshot; None where that is every item.

    Args:
        snapshot: model and catalog.
        rule: the filter; without one, what the catalog itself allows.
        new_only: whether to leave out all items that the generator saw.
        known: what the same allowed in the catalog before; only what changed is then looked at.
    """
    catalog = snapshot.catalog
    items = _allowed(catalog, rule, known)
    if new_only:
        new = ~catalog.trained
        items = new if items is None else items & new
    return None if items is None else _restriction(snapshot, Allowed.of(catalog.trie, items))


def restrict_further(snapshot: Snapshot, known: Restriction | None, removed: NDArray[np.int64]) -> Restriction:
    """What is known less some items ``(n,)``, distinct: by climbing from them if they are few, else by a pass."""
    catalog, allowed = snapshot.catalog, None if known is None else known.allowed
    if len(removed) * PASS_SHARE <= len(catalog):
        return _restriction(snapshot, allowed_without(catalog.trie, allowed, removed))
    items = np.ones(len(catalog), dtype=np.bool_) if allowed is None else allowed.items.copy()
    items[removed] = False
    return _restriction(snapshot, Allowed.of(catalog.trie, items))


def _restriction(snapshot: Snapshot, allowed: Allowed) -> Restriction:
    return Restriction(allowed, snapshot.engine.restrict(snapshot.trie, allowed.edges), snapshot.catalog)


def _allowed(catalog: LiveCatalog, rule: Filter | None, known: Restriction | None) -> NDArray[np.bool_] | None:
    """The mask ``(N,)`` of a filter, from that of the catalog before if it is known."""
    if rule is None or known is None:
        return catalog.allowed_items(rule)
    items = np.zeros(len(catalog), dtype=np.bool_)
    items[: len(known.allowed.items)] = known.allowed.items
    changed = catalog.allowed_items(rule, catalog.changed)
    assert changed is not None
    items[catalog.changed] = changed
    return items


def _popular(catalog: LiveCatalog, allowed: NDArray[np.bool_]) -> tuple[NDArray[np.int32], ...]:
    """See :attr:`Restriction.popular`; looks at twice as many items each time."""
    found: list[NDArray[np.int32]] = []
    count, look = 0, FIRST_LOOK
    for number, part in enumerate(catalog.popular):
        start = 0
        while start < len(part):
            candidates = part[start : start + look]
            found.append(candidates[allowed[candidates]])
            count, start, look = count + len(found[-1]), start + look, 2 * look
            if count >= HEAD:
                return np.concatenate(found), part[start:], *catalog.popular[number + 1 :]
    return (np.concatenate(found),)


def _nbytes(restriction: Restriction | None) -> int:
    return 0 if restriction is None else restriction.allowed.nbytes
