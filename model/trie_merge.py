"""Items that join or leave a trie: the arrays that building it anew would give, without sorting anything again.

Nodes are numbered breadth first, so a new node shifts all behind it by one. Counting children instead of numbering
edges makes that simple: new nodes are put in with no children, their parents get one more, and a running sum gives the
edges again. What remains is copying, about 20 bytes an item, and a walk down the trie for each item that changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.trie import Trie, check_numbers
from model.trie_walk import Numbers, Walk, walk

Rank = Callable[[int], Any]
"""Gives an item's place among those on one leaf: the smallest value first, no two alike."""


class _Rows(NamedTuple):
    """One row for each modality of each item, R in all, ascending by modality, ID and rank."""

    modality: Numbers
    item: NDArray[np.int32]
    codes: NDArray[np.uint8]


def insert_items(trie: Trie, items: Sequence[int], codes: NDArray[np.uint8], rank: Rank, size: int) -> Trie:
    """The trie with ``items`` (n) added, which stand in it nowhere yet, by their IDs ``(m, n, L)``.

    ``size`` is how many items are numbered then.
    """
    rows = _rows(items, codes, rank)
    way = walk(trie, rows.modality, rows.codes)
    fresh = _fresh(rows, way)
    at = np.concatenate([way.node[depth][fresh[depth]] for depth in range(1, len(fresh))])
    here = _numbers_after(way, fresh, at)
    internal = at[: len(at) - int(fresh[-1].sum())]
    children = np.insert(np.diff(trie.child_start), internal, 0)
    parents = [here[depth - 1][fresh[depth]] for depth in range(1, len(fresh))]
    np.add.at(children, np.concatenate(parents), 1)
    codes_of_edges = [rows.codes[fresh[depth + 1], depth] for depth in range(rows.codes.shape[1])]
    new_leaves = way.node[-1][fresh[-1]] - trie.first_leaf
    on_leaf = np.insert(np.diff(trie.leaf_start), new_leaves, 0)
    first_leaf = trie.first_leaf + len(internal)
    np.add.at(on_leaf, here[-1] - first_leaf, 1)
    added = np.concatenate([[0, 0, 0], np.cumsum(fresh[1:].sum(axis=1))])
    leaf_of = np.arange(trie.leaves) + np.searchsorted(new_leaves, np.arange(trie.leaves), side="right")
    check_numbers(nodes=int(trie.depth_start[-1] + added[-1]), slots=len(trie.leaf_item) + len(rows.item))
    table = _moved(trie, leaf_of, size)
    table[rows.modality, rows.item] = here[-1] - first_leaf
    return Trie(
        child_start=_starts(children),
        child_code=np.insert(trie.child_code, at - 1, np.concatenate(codes_of_edges)),
        depth_start=trie.depth_start + added,
        leaf_start=_starts(on_leaf),
        leaf_item=np.insert(trie.leaf_item, _slots(trie, rows, way, rank), rows.item),
        size=size,
    ).with_item_leaf(table)


def delete_items(trie: Trie, items: Sequence[int], codes: NDArray[np.uint8], size: int) -> Trie:
    """The trie without ``items`` (n), all of which stand in it by their IDs ``(m, n, L)``; a root stays, if empty.

    ``size`` is how many items are numbered, with those that stand on no leaf.
    """
    rows = _rows(items, codes, lambda item: item)
    way = walk(trie, rows.modality, rows.codes)
    leaves = way.node[-1] - trie.first_leaf
    slots = [
        trie.leaf_start[leaf] + int(np.flatnonzero(trie.leaf_items(leaf) == item)[0])
        for leaf, item in zip(leaves.tolist(), rows.item.tolist(), strict=True)
    ]
    on_leaf, children = np.diff(trie.leaf_start), np.diff(trie.child_start)
    np.subtract.at(on_leaf, leaves, 1)
    dead_leaves = np.unique(leaves[on_leaf[leaves] == 0])
    dead = [dead_leaves + trie.first_leaf]
    for depth in range(rows.codes.shape[1] - 1, -1, -1):
        np.subtract.at(children, trie.parents(dead[0]), 1)
        nodes = np.unique(way.node[depth])
        dead.insert(0, nodes[children[nodes] == 0] if depth else nodes[:0])
    gone = np.concatenate(dead)
    removed = np.concatenate([[0, 0], np.cumsum([len(level) for level in dead])])
    leaf_of = np.arange(trie.leaves) - np.searchsorted(dead_leaves, np.arange(trie.leaves))
    table = _moved(trie, leaf_of, size)
    table[rows.modality, rows.item] = -1
    return Trie(
        child_start=_starts(np.delete(children, np.concatenate(dead[:-1]))),
        child_code=np.delete(trie.child_code, gone - 1),
        depth_start=trie.depth_start - removed,
        leaf_start=_starts(np.delete(on_leaf, dead_leaves)),
        leaf_item=np.delete(trie.leaf_item, slots),
        size=size,
    ).with_item_leaf(table)


def number_items(trie: Trie, size: int) -> Trie:
    """The trie where ``size`` items are numbered, all that come behind the ones before on no leaf."""
    return replace(trie, size=size).with_item_leaf(_moved(trie, np.arange(trie.leaves), size))


def _rows(items: Sequence[int], codes: NDArray[np.uint8], rank: Rank) -> _Rows:
    """The rows of items (n) with IDs ``(m, n, L)``."""
    modalities, count, levels = codes.shape
    by_rank = np.array(sorted(range(count), key=lambda row: rank(items[row])), dtype=np.int64)
    modality = np.repeat(np.arange(modalities), count)
    flat = codes[:, by_rank].reshape(-1, levels)
    order = np.lexsort((*flat.T[::-1], modality))
    item = np.tile(np.array(items, dtype=np.int32)[by_rank], modalities)
    return _Rows(modality[order], item[order], flat[order])


def _fresh(rows: _Rows, way: Walk) -> NDArray[np.bool_]:
    """Which rows open a new node at each depth ``(L + 1, R)``: the first row of every prefix that is not there."""
    opens = np.ones(way.exists.shape, dtype=np.bool_)
    opens[0, 1:] = rows.modality[1:] != rows.modality[:-1]
    for depth in range(rows.codes.shape[1]):
        opens[depth + 1, 1:] = opens[depth, 1:] | (rows.codes[1:, depth] != rows.codes[:-1, depth])
    return opens & ~way.exists


def _numbers_after(way: Walk, fresh: NDArray[np.bool_], at: Numbers) -> Numbers:
    """The numbers ``(L + 1, R)`` that the rows' nodes have when new ones stand before the old nodes ``at``."""
    here: Numbers = way.node + np.searchsorted(at, way.node, side="right")
    before = 0
    for depth in range(1, len(fresh)):
        which = before + np.cumsum(fresh[depth]) - 1
        missing = ~way.exists[depth]
        here[depth, missing] = at[which[missing]] + which[missing]
        before += int(fresh[depth].sum())
    return here


def _slots(trie: Trie, rows: _Rows, way: Walk, rank: Rank) -> Numbers:
    """Before which place of ``leaf_item`` each row's item comes ``(R,)``."""
    leaf = way.node[-1] - trie.first_leaf
    slots: Numbers = trie.leaf_start[leaf].astype(np.int64)
    for row in np.flatnonzero(way.exists[-1]).tolist():
        mine = rank(int(rows.item[row]))
        slots[row] += sum(rank(other) < mine for other in trie.leaf_items(int(leaf[row])).tolist())
    return slots


def _starts(counts: NDArray[np.integer]) -> NDArray[np.int32]:
    """Where each of several runs begins, and the end of the last."""
    starts = np.zeros(len(counts) + 1, dtype=np.int32)
    np.cumsum(counts, out=starts[1:])
    return starts


def _moved(trie: Trie, leaf_of: Numbers, size: int) -> NDArray[np.int32]:
    """``item_leaf`` for ``size`` items when each old leaf is ``leaf_of[leaf]``."""
    numbers = np.append(leaf_of, -1).astype(np.int32)  # no leaf, -1, stays none: it is the last number
    table = np.full((trie.modalities, size), -1, dtype=np.int32)
    table[:, : trie.item_leaf.shape[1]] = numbers[trie.item_leaf]
    return table
