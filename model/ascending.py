"""Small ascending arrays, of which numpy's general functions would sort again what stands in order."""

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
    """Which of ``wanted`` ``(...)`` occur in ``ascending`` ``(n,)``."""
    if not len(ascending):
        return np.zeros(wanted.shape, dtype=np.bool_)
    places = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    held: NDArray[np.bool_] = ascending[places] == wanted
    return held
