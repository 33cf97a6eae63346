"""Ascending arrays, of which numpy's general functions would sort again what stands in order."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FIRST = np.zeros(1, dtype=np.int64)
Integers = TypeVar("Integers", bound=np.integer)


def runs(ascending: NDArray[Integers]) -> tuple[NDArray[Integers], NDArray[np.int64]]:
    """The distinct values of ``ascending`` ``(n,)``, ascending, and how often each occurs."""
    if not len(ascending):
        return ascending, np.zeros(0, dtype=np.int64)
    changes = (ascending[1:] != ascending[:-1]).nonzero()[0]
    bounds = np.concatenate((FIRST, changes + 1, [len(ascending)]))
    return ascending[bounds[:-1]], bounds[1:] - bounds[:-1]


def is_held(wanted: NDArray[np.integer], ascending: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of ``wanted`` ``(...)`` occur in ``ascending`` ``(n,)``, at a cost that follows the wanted ones."""
    if not len(ascending):
        return np.zeros(wanted.shape, dtype=np.bool_)
    # Numbers of another type would have numpy convert all that stand in order.
    places = np.minimum(np.searchsorted(ascending, wanted.astype(ascending.dtype, copy=False)), len(ascending) - 1)
    held: NDArray[np.bool_] = ascending[places] == wanted
    return held


def is_among(ascending: NDArray[np.integer], few: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of ``ascending`` ``(n,)``, distinct, are among ``few`` others, at a cost that follows the others."""
    found = np.zeros(len(ascending), dtype=np.bool_)
    found[np.searchsorted(ascending, few[is_held(few, ascending)].astype(ascending.dtype, copy=False))] = True
    return found
