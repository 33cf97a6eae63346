"""The catalog's trie: every valid semantic ID of every modality in two flat arrays.

The modality is the first step from the super-root (node 0), so one trie holds them all and ``root(m)`` is node m + 1.
Nodes are numbered breadth first, hence the children of a node are consecutive and edge e leads to node e + 1: two
arrays, ``child_start`` and ``child_code``, are the whole trie. Leaves are the last nodes, in the order of their
semantic IDs, so every node covers one contiguous range of leaves. Items stand in leaf order; several may share a leaf.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.bit_rank import BitRank
from model.errors import BundleError
from model.radix import stable_order
from model.slots import fan_outs

BITS_PER_CODE = 8
MAX_LEVELS = 8
MANY_NODES = 512
"""Nodes whose parents are worth a pass over the trie, once, after which they are counted rather than searched for."""


@dataclass(frozen=True)
class Trie:
    """The trie of m modalities with L levels.

    Attributes:
        child_start: ``(I + 1,)`` int32, first edge of each of the I internal nodes, and the number of edges.
        child_code: ``(E,)`` uint8, the code on each edge (the modality's index on the first m edges).
        depth_start: ``(L + 3,)`` int64, first node of each depth: super-root, roots, levels 1 to L, and the node count.
        leaf_start: ``(K + 1,)`` int32, where each of the K leaves begins in ``leaf_item``.
        leaf_item: ``(m * N,)`` int32, item indices in leaf order, modality after modality; best rank first in a leaf.
        size: how many items are numbered where some of them stand on no leaf; None where all do.
    """

    child_start: NDArray[np.int32]
    child_code: NDArray[np.uint8]
    depth_start: NDArray[np.int64]
    leaf_start: NDArray[np.int32]
    leaf_item: NDArray[np.int32]
    size: int | None = None

    @property
    def levels(self) -> int:
        """L, the number of codes in a semantic ID."""
        return len(self.depth_start) - 3

    @property
    def modalities(self) -> int:
        """m, the number of modalities."""
        return int(self.depth_start[2] - self.depth_start[1])

    @property
    def first_leaf(self) -> int:
        """The node number of leaf 0."""
        return int(self.depth_start[-2])

    @property
    def leaves(self) -> int:
        """K, the number of distinct semantic IDs over all modalities."""
        return len(self.leaf_start) - 1

    @property
    def items(self) -> int:
        """N, the number of items that stand on leaves."""
        return len(self.leaf_item) // self.modalities

    @cached_property
    def fan_outs(self) -> tuple[int, ...]:
        """For each level, the most children of the nodes whose children are its codes, at least 1."""
        return fan_outs(self.child_start, self.levels)

    @property
    def nbytes(self) -> int:
        """Bytes of the two arrays that the search reads."""
        return self.child_start.nbytes + self.child_code.nbytes

    @cached_property
    def item_leaf(self) -> NDArray[np.int32]:
        """``(m, N)`` int32, the leaf of each item in each modality, -1 of one that stands on none."""
        leaf_of_slot = np.repeat(np.arange(self.leaves, dtype=np.int32), np.diff(self.leaf_start))
        table = np.full((self.modalities, self.items if self.size is None else self.size), -1, dtype=np.int32)
        for modality, slots in enumerate(np.split(self.leaf_item, self.modalities)):
            table[modality, slots] = leaf_of_slot[modality * self.items : (modality + 1) * self.items]
        return table

    def with_item_leaf(self, item_leaf: NDArray[np.int32]) -> Self:
        """The same trie, whose :attr:`item_leaf` is known already and need not be worked out."""
        vars(self)["item_leaf"] = item_leaf
        return self

    def root(self, modality: int) -> int:
        """The node under which the semantic IDs of ``modality`` hang."""
        return 1 + modality

    def leaf_items(self, leaf: int) -> NDArray[np.int32]:
        """Item indices on one leaf, best rank first."""
        return self.leaf_item[self.leaf_start[leaf] : self.leaf_start[leaf + 1]]

    def parents(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The parent of each node ``(n,)``; every node but the super-root has one, and the trie holds an item."""
        if len(nodes) > MANY_NODES:
            return self._first_edges.count(nodes - 1) - 1
        edges = (nodes - 1).astype(self.child_start.dtype)  # of another type, numpy would convert the whole trie first
        return np.searchsorted(self.child_start, edges, side="right").astype(np.int64) - 1

    @cached_property
    def _first_edges(self) -> BitRank:
        """The first edge of each internal node: as many are at or before an edge as nodes up to its owner."""
        return BitRank.of(self.child_start[:-1], len(self.child_code))

    def leaf_ranges(self, nodes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First leaf and one past the last leaf below each node ``(n,)``; the nodes must be of one depth."""
        low, high = nodes, nodes + 1
        while len(low) and low[0] < self.first_leaf:
            low, high = (self.child_start[edge].astype(np.int64) + 1 for edge in (low, high))
        return low - self.first_leaf, high - self.first_leaf


def build_trie(codes: NDArray[np.uint8], rank: NDArray[np.integer] | None = None) -> Trie:
    """Builds the trie of a catalog.

    Args:
        codes: ``(m, N, L)`` uint8, the semantic IDs.
        rank: ``(N,)``, the items' order inside a shared leaf, smallest first; item order if not given.

    Raises:
        BundleError: if the array has no item or more levels than fit a 64-bit key.
    """
    modalities, items, levels = codes.shape
    if items == 0 or not 1 <= levels <= MAX_LEVELS:
        raise BundleError(f"codes of shape {codes.shape} make no trie: it takes items and 1 to {MAX_LEVELS} levels")
    by_rank = None if rank is None else np.argsort(rank, kind="stable")
    sorted_ids = [_sort_ids(codes[modality], by_rank) for modality in range(modalities)]
    first_nodes = [[np.ones(1, dtype=bool), *_prefix_flags(leaf_keys, levels)] for leaf_keys, _, _ in sorted_ids]
    return _assemble(sorted_ids, first_nodes, levels)


def check_numbers(nodes: int, slots: int) -> None:
    """Raises BundleError if a trie with so many nodes and places of items does not fit into its int32 arrays."""
    if max(nodes, slots) > np.iinfo(np.int32).max:
        raise BundleError(
            f"{nodes:,} nodes and {slots:,} places of items are more than a trie can number; use fewer levels, "
            "modalities or items"
        )


def _sort_ids(
    codes: NDArray[np.uint8], by_rank: NDArray[np.int64] | None
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64], NDArray[np.int32]]:
    """Distinct IDs as ascending keys ``(K,)``, the items on each leaf ``(K,)``, items in leaf order ``(N,)``."""
    keys = _keys(codes)
    if by_rank is not None:
        keys = keys[by_rank]
    order = stable_order(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    items = order if by_rank is None else by_rank[order]
    return keys[starts], np.diff(starts, append=len(keys)), items.astype(np.int32)


def _keys(codes: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
    """IDs ``(N, L)`` as integers ``(N,)`` that sort as the IDs do; the narrowest type sorts fastest."""
    key_bytes = 4 if codes.shape[1] <= 4 else MAX_LEVELS
    padded = np.zeros((len(codes), key_bytes), dtype=np.uint8)
    padded[:, key_bytes - codes.shape[1] :] = codes
    return padded.view(f">u{key_bytes}")[:, 0].astype(f"u{key_bytes}")


def _prefix_flags(leaf_keys: NDArray[np.unsignedinteger], levels: int) -> list[NDArray[np.bool_]]:
    """For depths 1 to L below the root, which leaves ``(K,)`` open a new node."""
    # The highest bit in which a leaf differs from the one before says from which depth on it has nodes of its own.
    changed = leaf_keys[1:] ^ leaf_keys[:-1]
    flags = []
    for depth in range(1, levels + 1):
        below = leaf_keys.dtype.type(2 ** ((levels - depth) * BITS_PER_CODE) - 1)
        flags.append(np.concatenate([[True], changed > below]))
    return flags


def _assemble(
    sorted_ids: list[tuple[NDArray[np.unsignedinteger], NDArray[np.int64], NDArray[np.int32]]],
    flags: list[list[NDArray[np.bool_]]],
    levels: int,
) -> Trie:
    """Numbers the nodes breadth first across modalities and writes the arrays."""
    modalities = len(sorted_ids)
    sizes = np.array([[int(flag.sum()) for flag in flags[m]] for m in range(modalities)], dtype=np.int64)
    depth_start = np.concatenate([[0, 1], 1 + np.cumsum(sizes.sum(axis=0))])
    check_numbers(nodes=int(depth_start[-1]), slots=sum(len(items) for _, _, items in sorted_ids))
    child_start = [np.zeros(1, dtype=np.int64)]
    child_code = [np.arange(modalities, dtype=np.uint8)]
    for depth in range(levels):
        base = depth_start[depth + 2] + np.concatenate([[0], np.cumsum(sizes[:, depth + 1])])
        for modality, (leaf_keys, _, _) in enumerate(sorted_ids):
            opens = flags[modality][depth + 1]
            parents = np.flatnonzero(flags[modality][depth]) if depth else np.zeros(1, dtype=np.int64)
            opened = np.cumsum(opens, dtype=np.int32)[parents]
            child_start.append(base[modality] - 2 + opened)
            shift = leaf_keys.dtype.type((levels - depth - 1) * BITS_PER_CODE)
            child_code.append((leaf_keys[opens] >> shift).astype(np.uint8))
    child_start.append(depth_start[-1:] - 1)
    counts = np.concatenate([count for _, count, _ in sorted_ids])
    return Trie(
        child_start=np.concatenate(child_start).astype(np.int32),
        child_code=np.concatenate(child_code),
        depth_start=depth_start,
        leaf_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        leaf_item=np.concatenate([items for _, _, items in sorted_ids]),
    )
