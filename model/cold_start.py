"""Items that the generator never saw: the edges of the trie that lead to nothing else (:mod:`model.beam_search`)."""

import numpy as np
from numpy.typing import NDArray

from model.allowed import allowed_edges
from model.trie import Trie


def cold_edges(trie: Trie, trained: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Edges ``(E,)`` below which no item was trained; ``trained`` is ``(N,)``."""
    return ~allowed_edges(trie, trained)
