"""From a history of item ids to ranked items: tokens, search, leaves, fusion. One call, on one thread, without waiting.

It knows a snapshot and one query, and nothing of users, HTTP or stores.
"""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.exclusions import dead_edges, pack_dead_edges
from model.fusion import FusedItems, ScoredItems, fuse
from model.live_catalog import LiveCatalog
from service.engine import Leaves, SearchRows
from service.snapshot import Snapshot


@dataclass(frozen=True)
class Query:
    """What is asked.

    Attributes:
        history: item ids, oldest first; unknown ones are skipped.
        k: how many items to recommend.
        beam: width of the search.
        weights: of the modalities that are searched, all above 0, at least one.
        exclude: item ids never to recommend.
        exclude_seen: whether the whole history is excluded too.
    """

    history: tuple[str, ...]
    k: int
    beam: int
    weights: dict[str, float]
    exclude: tuple[str, ...] = ()
    exclude_seen: bool = True


class Recommended(NamedTuple):
    """One recommendation: item index, score, and its rank in the list of each modality that found it."""

    item: int
    score: float
    ranks: dict[str, int]


@dataclass(frozen=True)
class Recommendation:
    """The answer, best first.

    Attributes:
        items: at most k.
        generated: whether the items come from the search; False for the most popular ones.
        unknown_items: how many items of the history the catalog lacks.
        seconds: time of each stage: prepare, search, fuse.
    """

    items: list[Recommended]
    generated: bool
    unknown_items: int
    seconds: dict[str, float] = field(default_factory=dict)


class Recommender:
    """Answers queries."""

    def __init__(self, max_beam: int) -> None:
        """Searches with at most ``max_beam`` beams."""
        self.max_beam = max_beam

    def recommend(self, snapshot: Snapshot, query: Query) -> Recommendation:
        """The best items for a query; the most popular ones if no item of its history is known."""
        started = time.perf_counter()
        history, unknown = snapshot.catalog.find_many(query.history)
        excluded = _excluded(snapshot.catalog, query, history)
        if not len(history):
            items = _popular(snapshot.catalog, excluded, query.k)
            return Recommendation(items, False, unknown, {"prepare": time.perf_counter() - started})
        rows = self._rows(snapshot, query, history, excluded)
        prepared = time.perf_counter()
        found = snapshot.engine.search(snapshot.trie, rows)
        searched = time.perf_counter()
        items = _join(snapshot, query, found, excluded)
        seconds = {
            "prepare": prepared - started,
            "search": searched - prepared,
            "fuse": time.perf_counter() - searched,
        }
        return Recommendation(items, True, unknown, seconds)

    def _rows(
        self, snapshot: Snapshot, query: Query, history: NDArray[np.int64], excluded: NDArray[np.int64]
    ) -> SearchRows:
        """One row per modality, of equal length because every item has L codes in each."""
        catalog, space = snapshot.catalog, snapshot.catalog.space
        modalities = [space.modality_index(modality) for modality in query.weights]
        latest = history[-snapshot.engine.max_history :]
        tokens = [space.tokens(modality, catalog.codes(modality, latest)).ravel() for modality in modalities]
        return SearchRows(
            tokens=np.stack(tokens),
            modality=np.array(modalities, dtype=np.int64),
            dead_edges=pack_dead_edges([dead_edges(catalog.trie, modality, excluded) for modality in modalities]),
            beam=min(max(query.beam, query.k), self.max_beam),
        )


def _join(snapshot: Snapshot, query: Query, found: Leaves, excluded: NDArray[np.int64]) -> list[Recommended]:
    """Leaves to items, lists to one list."""
    lists = [
        _items(snapshot.catalog, leaves, scores, excluded)
        for leaves, scores in zip(found.leaves, found.scores, strict=True)
    ]
    fused = fuse(lists, list(query.weights.values()), snapshot.catalog.space.levels, snapshot.fusion)
    return _recommended(fused, list(query.weights), query.k)


def _excluded(catalog: LiveCatalog, query: Query, history: NDArray[np.int64]) -> NDArray[np.int64]:
    """Item indices ``(n,)`` that the answer must not hold, ascending."""
    named, _ = catalog.find_many(query.exclude)
    return np.unique(np.concatenate([named, history]) if query.exclude_seen else named)


def _items(
    catalog: LiveCatalog, leaves: NDArray[np.int64], scores: NDArray[np.float32], excluded: NDArray[np.int64]
) -> ScoredItems:
    """The items on ``leaves`` ``(W,)`` in their order; those on one leaf share its score and stand by popularity."""
    leaves, scores = leaves[leaves >= 0], scores[leaves >= 0]
    starts = catalog.trie.leaf_start[leaves]
    counts = catalog.trie.leaf_start[leaves + 1] - starts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    items = catalog.trie.leaf_item[np.repeat(starts, counts) + within]
    kept = catalog.available[items] & ~np.isin(items, excluded)
    return ScoredItems(items[kept], np.repeat(scores, counts)[kept])


def _recommended(fused: FusedItems, modalities: list[str], k: int) -> list[Recommended]:
    """The first k of the joined list."""
    return [
        Recommended(
            int(item),
            float(score),
            {modality: int(rank) for modality, rank in zip(modalities, ranks, strict=True) if rank},
        )
        for item, score, ranks in zip(fused.items[:k], fused.scores[:k], fused.list_ranks[:k], strict=True)
    ]


def _popular(catalog: LiveCatalog, excluded: NDArray[np.int64], k: int) -> list[Recommended]:
    """The k most popular items that are not excluded, each scored by its share of all events."""
    candidates = catalog.popular[: k + len(excluded) + catalog.hidden]
    items = candidates[catalog.available[candidates] & ~np.isin(candidates, excluded)][:k]
    total = max(int(catalog.popularity.sum(dtype=np.int64)), 1)
    return [Recommended(int(item), float(catalog.popularity[item] / total), {}) for item in items]
