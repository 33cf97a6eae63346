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

DENSE = "dense"
"""The list's name, where modalities' names stand."""


class DenseList(NamedTuple):
    """Dense scores as one list more: its weight, and the scores ``(n,)`` of items ``(n,)``, for any candidates."""

    weight: float
    of: Callable[[NDArray[np.int64]], NDArray[np.floating]]


def dense_scores(affinities: NDArray[np.floating], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Log-probabilities of items among each other, per code, as the modalities' lists score theirs.

    Args:
        affinities: ``(m, L, M)``.
        codes: ``(m, n, L)``, the items' semantic IDs.

    Returns:
        ``(n,)``.
    """
    modalities, _, levels = codes.shape
    modality, _, level = np.ogrid[:modalities, :1, :levels]
    scores: NDArray[np.float64] = affinities[modality, level, codes].sum(axis=(0, 2), dtype=np.float64)
    if not len(scores):
        return scores
    highest = scores.max()
    normed = scores - (highest + np.log(np.exp(scores - highest).sum()))
    per_code: NDArray[np.float64] = normed / levels
    return per_code
