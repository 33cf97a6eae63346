"""Items that one request forbids, as dead edges of the trie: what the search must not follow.

An edge is dead when every leaf below it is forbidden. There are at most L dead edges for a forbidden item, found by
climbing from the leaves, so the cost depends on the list and not on the catalog, and the search over the rest is
exactly the search over a trie without those items. Items that a shared rule leaves out are as good as gone already: an
edge whose last allowed items are forbidden is dead too.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.allowed import Allowed
from model.ascending import runs
from model.trie import Trie

NO_EDGE = -1


def dead_edges(
    trie: Trie, modality: int, excluded: NDArray[np.integer], allowed: Allowed | None = None
) -> list[NDArray[np.int64]]:
    """Edges that lead to nothing but excluded items, for each of the L levels, ascending.

    Args:
        trie: the catalog's trie.
        modality: the modality's index.
        excluded: item indices ``(n,)``, in any order; repeats do no harm.
        allowed: a shared rule that the search obeys too; edges that it forbids itself are not named again.
    """
    if allowed is not None:
        excluded = excluded[allowed.items[excluded]]
    dead = _dead_leaves(trie, modality, excluded, allowed) + trie.first_leaf
    levels = [dead - 1]
    for _ in range(trie.levels - 1):
        # Nodes are numbered breadth first: parents stand in their children's order.
        parents, dead_children = runs(trie.parents(dead))
        first, end = trie.child_start[parents], trie.child_start[parents + 1]
        children = end - first if allowed is None else _count(allowed.edges, first, end)
        dead = parents[dead_children == children]
        levels.append(dead - 1)
    return levels[::-1]


def allowed_without(trie: Trie, allowed: Allowed | None, removed: NDArray[np.integer]) -> Allowed:
    """What a rule allows less some items; but for copying the cost depends on those and not on the catalog.

    Args:
        trie: the catalog's trie.
        allowed: the rule; None where every item is allowed.
        removed: item indices ``(n,)``, distinct.
    """
    if allowed is None:
        every = np.ones(trie.item_leaf.shape[1], dtype=np.bool_), np.ones(len(trie.child_code), dtype=np.bool_)
        allowed = Allowed(*every, trie.items)
    removed = removed[allowed.items[removed] & (trie.item_leaf[0, removed] >= 0)]
    items, edges = allowed.items.copy(), allowed.edges.copy()
    items[removed] = False
    for modality in range(trie.modalities):
        for level in dead_edges(trie, modality, removed, allowed):
            edges[level] = False
    return Allowed(items, edges, allowed.total - len(removed))


def pack_dead_edges(rows: Sequence[Sequence[NDArray[np.int64]]]) -> NDArray[np.int32]:
    """Rows of :func:`dead_edges` as one array ``(B, L, X)`` int32 for the search, padded with -1; X is at least 1."""
    width = max((len(level) for row in rows for level in row), default=0)
    packed = np.full((len(rows), len(rows[0]), max(width, 1)), NO_EDGE, dtype=np.int32)
    for index, row in enumerate(rows):
        for depth, level in enumerate(row):
            packed[index, depth, : len(level)] = level
    return packed


def _dead_leaves(
    trie: Trie, modality: int, excluded: NDArray[np.integer], allowed: Allowed | None
) -> NDArray[np.int64]:
    """Leaves ``(k,)`` on which every item that is allowed is excluded, ascending."""
    on_leaves = trie.item_leaf[modality, runs(np.sort(excluded))[0]]
    leaves, excluded_items = runs(np.sort(on_leaves[on_leaves >= 0]))
    first, end = trie.leaf_start[leaves], trie.leaf_start[leaves + 1]
    items = end - first
    if allowed is not None:
        slots = _slots(first, end)
        items = _sums(allowed.items[trie.leaf_item[slots]], items)
    dead: NDArray[np.int64] = leaves[excluded_items == items].astype(np.int64)
    return dead


def _count(flags: NDArray[np.bool_], first: NDArray[np.integer], end: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many ``flags`` are set in each of the ranges ``first`` to ``end`` ``(n,)``, none of them empty."""
    return _sums(flags[_slots(first, end)], end - first)


def _slots(first: NDArray[np.integer], end: NDArray[np.integer]) -> NDArray[np.int64]:
    """All places of the ranges ``first`` to ``end`` ``(n,)``, one range after the other."""
    counts = (end - first).astype(np.int64)
    return np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def _sums(flags: NDArray[np.bool_], counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many flags are set in each run of ``counts`` ``(n,)`` flags, every run at least one long."""
    if not len(counts):
        return np.zeros(0, dtype=np.int64)
    starts = np.cumsum(counts) - counts
    return np.add.reduceat(flags, starts, dtype=np.int64)
