"""Masks of a trie's edges for allow lists: lent out, marked where a list leads, and cleaned there when they come back.

A new mask is memory of the catalog's size, and the system fills with zeros whatever of it is touched, in pieces of
megabytes. So masks are kept, and what is done with one follows the list.
"""

import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

from model.trie import Trie

KEPT = 8
"""Masks that wait for the next list: more are only there while so many requests run at once."""


class EdgeMasks:
    """The masks of one trie; threads may share them."""

    def __init__(self, trie: Trie) -> None:
        """Makes none yet."""
        self._trie = trie
        self._clean: deque[NDArray[np.bool_]] = deque()

    def lend(self, items: NDArray[np.integer], borrower: object) -> NDArray[np.bool_]:
        """``(E,)`` bool: whether an edge leads to one of some items, at a cost that follows their number.

        Args:
            items: ``(n,)`` item indices, all of which stand in the trie.
            borrower: the mask is somebody else's as soon as this object is gone.
        """
        try:
            edges = self._clean.pop()
        except IndexError:
            edges = np.zeros(len(self._trie.child_code), dtype=np.bool_)
        marked = _mark(edges, self._trie, items)
        weakref.finalize(borrower, self._take_back, edges, marked).atexit = False
        return edges

    def _take_back(self, edges: NDArray[np.bool_], marked: list[NDArray[np.int64]]) -> None:
        """Cleans a mask and keeps it."""
        if len(self._clean) < KEPT:
            for places in marked:
                edges[places] = False
            self._clean.append(edges)


def _mark(edges: NDArray[np.bool_], trie: Trie, items: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    """Marks the edges that lead to ``items`` in a clean mask, climbing from their leaves; returns which, by depth."""
    leaves = np.concatenate([np.take(leaf_of_item, items) for leaf_of_item in trie.item_leaf])
    places = trie.first_leaf - 1 + leaves.astype(np.int64)
    marked = []
    for depth in range(trie.levels, -1, -1):
        edges[places] = True
        marked.append(places)
        if depth:
            places = trie.parents(places + 1) - 1
            first, end = int(trie.depth_start[depth]) - 1, int(trie.depth_start[depth + 1]) - 1
            if end - first < len(places):  # many of them are the same
                edges[places] = True
                places = first + np.flatnonzero(edges[first:end])
    return marked
