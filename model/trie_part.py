"""A trie of some of a catalog's items, beside the trie of all: which of its edges is which."""

import numpy as np
from numpy.typing import NDArray

from model.trie import Trie


def edges_of_part(part: Trie, whole: Trie, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Values ``(E,)`` of the whole trie's edges as values of the part's edges ``(F,)``.

    Args:
        part: its leaves hold item indices of the whole, all of which stand there.
        whole: the trie of all items.
        values: one for each edge of ``whole``.
    """
    found = np.zeros(len(part.child_code), dtype=np.bool_)
    first_slot = part.leaf_start[:-1]
    modality = first_slot // part.items
    leaves = whole.item_leaf[modality, part.leaf_item[first_slot]].astype(np.int64)
    here, there = part.first_leaf + np.arange(part.leaves), whole.first_leaf + leaves
    for _ in range(part.levels + 1):
        found[here - 1] = values[there - 1]
        parents = part.parents(here)
        first = np.flatnonzero(np.diff(parents, prepend=-1))
        here, there = parents[first], whole.parents(there[first])
    return found
