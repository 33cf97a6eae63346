"""Caps on how many items of an answer may be alike: a stated rule, kept exactly.

The rule. A group is all items that share a value of an attribute, or the first codes of their semantic IDs in a
modality. An item belongs to the group of each of its values, and to none if it has no value. Walk down the ranking and
take each item, unless one of its groups is full. If the ranking ends before k items are taken, search again for what is
neither taken nor in a full group, append what this ranking gives by the same walk, and so on, until k items are taken,
nothing is left, or there were MAX_ROUNDS searches. So the answer is ordered by search first, then by score; every
search adds at least one item, so that k items come back whenever the caps can be kept by k of them, for k up to
MAX_ROUNDS and almost always beyond.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.attributes import attributes_of, kind_of, values_of
from model.filters import has_one_of
from model.live_catalog import LiveCatalog
from service.groups import Group, NodeGroup, ValueGroup
from service.query import AttributeCap, Cap, PrefixCap

MAX_ROUNDS = 32


class Groups:
    """Counts the groups of the items that were taken."""

    def __init__(self, catalog: LiveCatalog, caps: Sequence[Cap]) -> None:
        """Begins with no item taken."""
        self._catalog = catalog
        self._caps = caps
        self._taken: Counter[Group] = Counter()
        self._most: dict[Group, int] = {}

    def take(self, ranking: Iterable[int], wanted: int) -> list[int]:
        """The first ``wanted`` items of a ranking that the caps let pass, as places in it; they count as taken."""
        places: list[int] = []
        for place, item in enumerate(ranking):
            if len(places) == wanted:
                break
            groups = self._groups(item)
            if all(self._taken[group] < most for group, most in groups.items()):
                places.append(place)
                self._taken.update(groups.keys())
                self._most.update(groups)
        return places

    @property
    def full(self) -> frozenset[Group]:
        """The groups that may give no more."""
        return frozenset(group for group, most in self._most.items() if self._taken[group] >= most)

    def holding(self, items: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of ``items`` ``(n,)`` belong to a full group; this takes a pass over them."""
        catalog, values = self._catalog, defaultdict(list)
        mask = np.zeros(len(items), dtype=np.bool_)
        for group in self.full:
            if isinstance(group, ValueGroup):
                values[group.attribute].append(group.value)
                continue
            low, high = catalog.trie.leaf_ranges(np.array([group.node]))
            leaves = catalog.trie.item_leaf[group.modality, items]
            mask |= (leaves >= low) & (leaves < high)
        in_group = catalog.allowed_items(has_one_of(values), items) if values else None
        return mask if in_group is None else mask | in_group

    def _groups(self, item: int) -> dict[Group, int]:
        """An item's groups, with the most that each may give."""
        found: dict[Group, int] = {}
        attributes = attributes_of(self._catalog.metadata(item)) if self._by_attribute else {}
        for cap in self._caps:
            if isinstance(cap, PrefixCap):
                found[self._node(item, cap)] = cap.most
            else:
                for value in values_of(attributes.get(cap.attribute)):
                    found[ValueGroup(cap.attribute, kind_of(value), value)] = cap.most
        return found

    @property
    def _by_attribute(self) -> bool:
        return any(isinstance(cap, AttributeCap) for cap in self._caps)

    def _node(self, item: int, cap: PrefixCap) -> NodeGroup:
        """The node that stands for the first codes of an item."""
        trie = self._catalog.trie
        modality = self._catalog.space.modality_index(cap.modality)
        node = np.array([trie.first_leaf + trie.item_leaf[modality, item]], dtype=np.int64)
        for _ in range(trie.levels - cap.depth):
            node = trie.parents(node)
        return NodeGroup(modality, int(node[0]))
