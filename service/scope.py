"""Where one request may look: the catalog's trie with a filter and exclusions, or the small trie of an allow list.

Both give exactly the search over a trie of the allowed items alone. A filter is a mask that many requests share; a
request's own exclusions are dead edges; an allow list becomes a trie of its own, less everything that is forbidden, so
that its cost follows the list and not the catalog.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.allowed import Allowed
from model.exclusions import NO_EDGE, dead_edges, pack_dead_edges
from model.live_catalog import LiveCatalog
from model.string_index import NO_ROW
from model.trie import Trie, build_trie
from model.trie_part import edges_of_part
from service.diversity import Groups
from service.engine import TrieInputs
from service.filter_cache import Restriction, restriction_of
from service.query import Query
from service.snapshot import Snapshot

Items = NDArray[np.int64]


class Scope(Protocol):
    """What a request may recommend."""

    @property
    def trie(self) -> Trie:
        """The trie that is searched; its leaves hold item indices of the catalog. There is none of no items."""

    @property
    def inputs(self) -> TrieInputs:
        """The trie as the search reads it."""

    @property
    def reachable(self) -> int:
        """How many items may come back."""

    @property
    def popular(self) -> NDArray[np.integer]:
        """Items by popularity, the most popular first, among them all that may come back."""

    def dead_edges(self, modalities: Sequence[int]) -> NDArray[np.int32]:
        """What the search must not follow, ``(B, L, X)``, one row for each modality."""

    def keeps(self, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of ``items`` ``(n,)``, all on leaves of the trie, may come back."""

    def without(self, items: Sequence[int], groups: Groups) -> "Scope":
        """The scope less some items and the full groups; of a whole catalog this takes a pass over it."""


@dataclass(frozen=True)
class CatalogScope:
    """What a request may recommend of the whole catalog.

    Attributes:
        snapshot: model and catalog.
        restriction: what the filter allows; None where that is every item.
        excluded: items ``(n,)`` that must not come back, ascending.
    """

    snapshot: Snapshot
    restriction: Restriction | None
    excluded: Items

    @property
    def trie(self) -> Trie:
        """See :class:`Scope`."""
        return self.snapshot.catalog.trie

    @property
    def inputs(self) -> TrieInputs:
        """See :class:`Scope`."""
        return self.snapshot.trie if self.restriction is None else self.restriction.inputs

    @cached_property
    def reachable(self) -> int:
        """See :class:`Scope`."""
        total = self.trie.items if self._allowed is None else self._allowed.total
        return total - int(self._allows(self.excluded).sum())

    @property
    def popular(self) -> NDArray[np.integer]:
        """See :class:`Scope`."""
        return self.snapshot.catalog.popular

    def dead_edges(self, modalities: Sequence[int]) -> NDArray[np.int32]:
        """See :class:`Scope`."""
        return pack_dead_edges([dead_edges(self.trie, each, self.excluded, self._allowed) for each in modalities])

    def keeps(self, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """See :class:`Scope`."""
        kept: NDArray[np.bool_] = ~np.isin(items, self.excluded) & self._allows(items)
        return kept

    def without(self, items: Sequence[int], groups: Groups) -> "CatalogScope":
        """See :class:`Scope`."""
        mask = ~groups.full()
        if self._allowed is not None:
            mask &= self._allowed.items
        excluded = np.union1d(self.excluded, np.array(items, dtype=np.int64))
        return replace(self, restriction=restriction_of(self.snapshot, mask), excluded=excluded)

    @property
    def _allowed(self) -> Allowed | None:
        return None if self.restriction is None else self.restriction.allowed

    def _allows(self, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of ``items`` stand in the trie and are let pass by the filter."""
        standing: NDArray[np.bool_] = self.trie.item_leaf[0, items] >= 0
        return standing if self._allowed is None else standing & self._allowed.items[items]


@dataclass(frozen=True)
class ListScope:
    """What a request may recommend of an allow list.

    Attributes:
        snapshot: model and catalog.
        popular: items ``(n,)`` that may come back, by popularity, equals by id.
        cold: whether the search asks which edges lead to no trained item of the whole catalog: only that for new items
            does.
    """

    snapshot: Snapshot
    popular: Items
    cold: bool = False

    @cached_property
    def trie(self) -> Trie:
        """See :class:`Scope`."""
        catalog = self.snapshot.catalog
        codes = [catalog.codes(modality, self.popular) for modality in range(len(catalog.space.modalities))]
        trie = build_trie(np.stack(codes))
        return replace(trie, leaf_item=self.popular[trie.leaf_item].astype(np.int32))

    @cached_property
    def inputs(self) -> TrieInputs:
        """See :class:`Scope`."""
        cold = np.zeros(len(self.trie.child_code), dtype=np.bool_)
        if self.cold:
            cold = edges_of_part(self.trie, self.snapshot.catalog.trie, self.snapshot.trie.edge_cold)
        return self.snapshot.engine.place(self.trie, cold)

    @property
    def reachable(self) -> int:
        """See :class:`Scope`."""
        return len(self.popular)

    def dead_edges(self, modalities: Sequence[int]) -> NDArray[np.int32]:
        """See :class:`Scope`."""
        return np.full((len(modalities), self.trie.levels, 1), NO_EDGE, dtype=np.int32)

    def keeps(self, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """See :class:`Scope`."""
        return np.ones(len(items), dtype=np.bool_)

    def new_items(self) -> "ListScope":
        """The scope less all items that the generator saw."""
        return replace(self, popular=self.popular[~self.snapshot.catalog.trained[self.popular]], cold=True)

    def without(self, items: Sequence[int], groups: Groups) -> "ListScope":
        """See :class:`Scope`."""
        return replace(self, popular=self.popular[~np.isin(self.popular, items) & ~groups.full(self.popular)])


def excluded_items(catalog: LiveCatalog, query: Query, history: Items) -> Items:
    """Item indices ``(n,)`` that the answer must not hold, ascending, for the known items of the history."""
    named, _ = catalog.find_many(query.exclude)
    return np.unique(np.concatenate([named, history]) if query.exclude_seen else named)


def listed_items(catalog: LiveCatalog, query: Query, allow: Sequence[str], excluded: Items) -> tuple[Items, int]:
    """The items of an allow list that the filter and the exclusions leave, by popularity; and how many are unknown."""
    rows = np.sort(catalog.find_rows(allow))
    known = rows[(rows != NO_ROW) & (np.diff(rows, prepend=NO_ROW) > 0)]
    known = known[~(_in_sorted(known, excluded) | catalog.deleted[known])]
    allowed = catalog.allowed_items(query.filter, known)
    if allowed is not None:
        known = known[allowed]
    return catalog.by_rank(known), int((rows == NO_ROW).sum())


def _in_sorted(items: Items, few: Items) -> NDArray[np.bool_]:
    """Which of ``items`` ``(n,)``, ascending and distinct, are among others, at a cost that follows the others."""
    found = np.zeros(len(items) + 1, dtype=np.bool_)
    places = np.searchsorted(items, few)
    found[places[few == np.append(items, NO_ROW)[places]]] = True
    return found[:-1]
