"""Items that the generator never saw: which edges of the trie lead to nothing else, and which codes lie near which.

The search uses both to give such items a share of their neighbours' probability (:mod:`model.beam_search`).
"""

import numpy as np
from numpy.typing import NDArray

from model.allowed import allowed_edges
from model.trie import Trie


def cold_edges(trie: Trie, trained: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Edges ``(E,)`` below which no item was trained; ``trained`` is ``(N,)``."""
    return ~allowed_edges(trie, trained)


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
