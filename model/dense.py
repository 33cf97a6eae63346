"""Scores of whole items, beside the lists that the search makes of their codes.

A generator that reads whole items can also be trained to score them as a sequential recommender does: by the inner
product of the history's last state h and the item's vector, which is the one by which it is read in a history, the sum
of its codes' embeddings in all m modalities:

    s(i) = sum over modalities and levels of a[modality, level, code of i],   a[...] = h . e[...] / sqrt(d m L)

The affinities a are a table of m x L x M numbers for a request, so that an item costs m L look-ups, new items and old
ones alike, and no vector of an item is kept. The search still finds the candidates; of those, dense scores are one list
more in the fusion. What a sum over all modalities' codes can tell, no list of a single modality does, and the other way
round (Yang et al., "Unifying Generative and Dense Retrieval for Sequential Recommendation", 2024, join the two with
vectors of their own for every item).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class DenseList(NamedTuple):
    """Dense scores as one list more: its weight, and the scores ``(n,)`` of items ``(n,)``, for any candidates."""

    weight: float
    of: Callable[[NDArray[np.int64]], NDArray[np.floating]]


def dense_scores(affinities: NDArray[np.floating], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Log-probabilities of items whose codes were drawn one by one, over L, as the modalities' lists score theirs.

    An item's score depends on the history and its own codes alone, whatever other items there are.

    Args:
        affinities: ``(m, L, M)``.
        codes: ``(m, n, L)``, the items' semantic IDs.

    Returns:
        ``(n,)``.
    """
    modalities, _, levels = codes.shape
    modality, _, level = np.ogrid[:modalities, :1, :levels]
    highest = affinities.max(axis=2, keepdims=True)
    log_sums = highest + np.log(np.exp(affinities - highest).sum(axis=2, keepdims=True))
    scores: NDArray[np.float64] = (affinities - log_sums)[modality, level, codes].sum(axis=(0, 2), dtype=np.float64)
    per_code: NDArray[np.float64] = scores / levels
    return per_code
