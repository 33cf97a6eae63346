"""Items like an item, by their semantic IDs alone.

In each modality, two items share the first p of their L codes, and the sums of their codewords are a and b. Then

    similarity = mean over modalities of (p + 1 - |a - b|^2 / (2 (|a|^2 + |b|^2))) / (L + 1),

which is 1 for equal IDs and 0 only for opposite sums without a common code; in one modality a longer common prefix
never weighs less than any distance. Without codebooks (imported IDs) the distance is unknown and the formula is p / L.

Candidates are, per modality, the items of the deepest nodes above the item that hold enough, nearest in the order of
IDs first where a node holds too many: the catalog's size does not matter.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.live_catalog import LiveCatalog
from model.trie_walk import walk

CANDIDATES = 1_000
"""Items of each modality that are compared."""

Floats = NDArray[np.float32]


class Similar(NamedTuple):
    """One item like another: its number, the similarity 0 to 1, and per modality p and the squared distance."""

    item: int
    similarity: float
    shared: list[int]
    distance: list[float] | None


def similar_items(catalog: LiveCatalog, item: int, k: int, codebooks: Floats | None) -> list[Similar]:
    """The k available items most like ``item``, best first, equals by their rank; without the item itself.

    ``codebooks`` are ``(m, L, M, d)`` float32, None if there are none.
    """
    modalities = range(len(catalog.space.modalities))
    mine = np.stack([catalog.codes(modality, np.array([item])) for modality in modalities])
    found = np.unique(np.concatenate([_candidates(catalog, modality, mine[modality]) for modality in modalities]))
    found = found[catalog.available[found] & (found != item)]
    codes = np.stack([catalog.codes(modality, found) for modality in modalities])
    shared = np.cumprod(codes == mine, axis=2).sum(axis=2)
    levels = catalog.space.levels
    distance: Floats | None = None
    if codebooks is None:
        scores = (shared / levels).mean(axis=0)
    else:
        ours, theirs = _sums(codebooks, mine), _sums(codebooks, codes)
        distance = np.square(ours - theirs).sum(axis=2)
        lengths = np.square(ours).sum(axis=2) + np.square(theirs).sum(axis=2)
        share = distance / np.maximum(2 * lengths, np.finfo(np.float32).tiny)
        scores = ((shared + 1 - share) / (levels + 1)).mean(axis=0)
    top = sorted(range(len(found)), key=lambda row: (-float(scores[row]), catalog.rank(int(found[row]))))[:k]
    return [
        Similar(
            item=int(found[row]),
            similarity=float(scores[row]),
            shared=shared[:, row].tolist(),
            distance=None if distance is None else distance[:, row].tolist(),
        )
        for row in top
    ]


def _candidates(catalog: LiveCatalog, modality: int, codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Items ``(n,)`` near the ID ``(1, L)`` in the order of IDs: as many as are compared, if the modality has them."""
    trie = catalog.trie
    way = walk(trie, np.array([modality]), codes)
    place = int(trie.leaf_start[way.node[-1, 0] - trie.first_leaf])
    for depth in range(catalog.space.levels, -1, -1):
        if not way.exists[depth, 0]:
            continue
        low, high = (int(trie.leaf_start[end[0]]) for end in trie.leaf_ranges(way.node[depth]))
        if high - low >= CANDIDATES or depth == 0:
            low = max(low, min(place - CANDIDATES // 2, high - CANDIDATES))
            return trie.leaf_item[low : min(high, low + CANDIDATES)]
    return trie.leaf_item[:0]


def _sums(codebooks: Floats, codes: NDArray[np.uint8]) -> Floats:
    """The sums of codewords ``(m, n, d)`` of IDs ``(m, n, L)``."""
    modality = np.arange(len(codes))[:, None, None]
    sums: Floats = codebooks[modality, np.arange(codes.shape[2]), codes].sum(axis=2)
    return sums
