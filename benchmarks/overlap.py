"""How much two searches agree on what comes first."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FIRST = 10


def overlap(ones: Iterable[NDArray[np.int64]], others: Iterable[NDArray[np.int64]]) -> float:
    """overlap@10: the mean share of the first ten nodes that two lists have in common, rounded to 4 places.

    Args:
        ones: lists ``(W,)`` of trie nodes, best first.
        others: as many, of another search for the same.
    """
    pairs = zip(ones, others, strict=True)
    shares = [len(np.intersect1d(one[:FIRST], other[:FIRST])) / FIRST for one, other in pairs]
    return round(float(np.mean(shares)), 4)
