"""What a rule that many requests share allows: a mask of items, and the edges of the trie that still lead to one.

Every node covers one contiguous range of leaves, and the leaves' items stand in one array. So a running count of the
allowed items in that order, handed up from the leaves, says of every node how many lie below it: an edge is allowed if
there are any. One pass over the catalog for all modalities, done once for a rule and a catalog.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.trie import Trie


class Allowed(NamedTuple):
    """What a rule allows.

    Attributes:
        items: ``(N,)`` bool, by item index.
        edges: ``(E,)`` bool, the search's input ``edge_allowed``.
        total: how many items of the trie are allowed.
    """

    items: NDArray[np.bool_]
    edges: NDArray[np.bool_]
    total: int

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.items.nbytes + self.edges.nbytes

    @classmethod
    def of(cls, trie: Trie, items: NDArray[np.bool_]) -> "Allowed":
        """What a mask ``(N,)`` over item indices allows in a trie of these items, or of some of them."""
        standing = items[trie.leaf_item[: trie.items]]
        return cls(items, allowed_edges(trie, items), int(standing.sum()))


def allowed_edges(trie: Trie, items: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(E,)`` bool: whether an edge leads to an allowed item.

    Args:
        trie: the catalog's trie.
        items: ``(N,)`` bool by item index.
    """
    before = np.zeros(len(trie.leaf_item) + 1, dtype=np.int32)
    np.cumsum(items[trie.leaf_item], dtype=np.int32, out=before[1:])
    before = before[trie.leaf_start]
    edges = np.empty(len(trie.child_code), dtype=np.bool_)
    # A node n of depth d hangs on edge n - 1; ``before`` counts the allowed items left of each of the depth's nodes.
    for depth in range(trie.levels + 1, 0, -1):
        first, end = int(trie.depth_start[depth]), int(trie.depth_start[depth + 1])
        edges[first - 1 : end - 1] = before[1:] > before[:-1]
        parents = slice(int(trie.depth_start[depth - 1]), first + 1)
        before = before[trie.child_start[parents] + 1 - first]
    return edges
