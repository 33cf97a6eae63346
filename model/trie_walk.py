"""Following semantic IDs down the trie's arrays, many at a time: where each stands, or where it would have to go."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.trie import Trie

Numbers = NDArray[np.int64]


class Walk(NamedTuple):
    """The ways of R semantic IDs from their modality's root down.

    Attributes:
        node: ``(L + 1, R)`` int64, the node at each depth, the root first; where there is none, the node before which
            it would stand.
        exists: ``(L + 1, R)`` bool, whether that node is there.
    """

    node: Numbers
    exists: NDArray[np.bool_]


def walk(trie: Trie, modality: NDArray[np.integer], codes: NDArray[np.uint8]) -> Walk:
    """Follows IDs ``(R, L)`` of modalities ``(R,)``, or prefixes of IDs ``(R, P)``, which gives depths 0 to P."""
    node = np.empty((codes.shape[1] + 1, len(codes)), dtype=np.int64)
    exists = np.ones(node.shape, dtype=np.bool_)
    node[0] = modality + 1
    for depth in range(codes.shape[1]):
        here, there = node[depth], exists[depth]
        first = trie.child_start[here].astype(np.int64)
        # Below a node that is missing, everything stands before the children of the node that it would precede.
        end = np.where(there, trie.child_start[np.minimum(here + 1, len(trie.child_start) - 1)], first)
        edge = _lower_bound(trie.child_code, first, end, codes[:, depth])
        inside = edge < end
        exists[depth + 1] = inside
        exists[depth + 1, inside] = trie.child_code[edge[inside]] == codes[inside, depth]
        node[depth + 1] = edge + 1
    return Walk(node, exists)


def children_of(trie: Trie, modality: int, prefix: tuple[int, ...]) -> NDArray[np.uint8]:
    """The codes ``(n,)`` that follow a prefix in the trie, ascending; none if the prefix is not there."""
    way = walk(trie, np.array([modality]), np.array([prefix], dtype=np.uint8).reshape(1, len(prefix)))
    if not way.exists[-1, 0]:
        return np.zeros(0, dtype=np.uint8)
    node = int(way.node[-1, 0])
    return trie.child_code[trie.child_start[node] : trie.child_start[node + 1]]


def _lower_bound(values: NDArray[np.uint8], first: Numbers, end: Numbers, wanted: NDArray[np.uint8]) -> Numbers:
    """For each row the first place in ``values[first:end]``, which ascend, whose value is not below ``wanted``."""
    low, high = first.copy(), end.astype(np.int64)
    while len(rows := np.flatnonzero(low < high)):
        middle = (low[rows] + high[rows]) // 2
        less = values[middle] < wanted[rows]
        low[rows[less]] = middle[less] + 1
        high[rows[~less]] = middle[~less]
    return low
