"""Items that the generator never saw: which edges of the trie lead to nothing else, and which codes lie near which.

The search uses both to give such items a share of their neighbours' probability (:mod:`model.beam_search`).
"""

import numpy as np
from numpy.typing import NDArray

from model.trie import Trie


def cold_edges(trie: Trie, trained: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Edges ``(E,)`` below which no item was trained; ``trained`` is ``(N,)``."""
    slots = np.concatenate([[0], np.cumsum(trained[trie.leaf_item])])
    below = slots[trie.leaf_start]
    cold = np.empty(len(trie.child_code), dtype=np.bool_)
    bounds = np.arange(trie.leaves + 1)
    for depth in range(trie.levels + 1, 0, -1):
        first, end = trie.depth_start[depth], trie.depth_start[depth + 1]
        cold[first - 1 : end - 1] = np.diff(below[bounds]) == 0
        bounds = _bounds_of_parents(trie, depth - 1, bounds)
    return cold


def _bounds_of_parents(trie: Trie, depth: int, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each node of ``depth`` begins among the leaves, and their end, from those of the depth below."""
    first, end = trie.depth_start[depth], trie.depth_start[depth + 1]
    first_child = trie.child_start[first : end + 1].astype(np.int64) + 1 - trie.depth_start[depth + 1]
    starts: NDArray[np.int64] = bounds[first_child]
    return starts


def distance_kernel(codebooks: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """How much each code takes from each other code of its level.

    K(c, c') is the softmax over c' other than c of -|e_c - e_c'|^2 / (t v), where v is the level's mean squared
    distance between two codes; a high temperature t makes all codes alike.

    Args:
        codebooks: ``(m, L, M, d)``.
        temperature: t, above 0.

    Returns:
        ``(m, L, M, M)`` float32; rows sum to 1. A single code has no other and keeps its own.
    """
    books = codebooks.astype(np.float64)
    squares = (books**2).sum(-1)
    distance = squares[..., :, None] + squares[..., None, :] - 2 * books @ books.swapaxes(-1, -2)
    codes = books.shape[2]
    mean = distance.sum((-1, -2), keepdims=True) / max(codes * (codes - 1), 1)
    logits = -distance / (temperature * np.maximum(mean, np.finfo(np.float64).tiny))
    if codes > 1:
        logits[..., np.arange(codes), np.arange(codes)] = -np.inf
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    kernel: NDArray[np.float32] = (weights / weights.sum(-1, keepdims=True)).astype(np.float32)
    return kernel
