"""From a history of item ids to ranked items: tokens, search, leaves, fusion. One call, on one thread, without waiting.

It knows a snapshot and one query, and nothing of users, HTTP or stores.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.dense import DenseList, dense_scores
from model.fusion import FusedItems, ScoredItems, fuse
from model.history_tokens import history_tokens
from model.list_names import DENSE
from service.blend import blend
from service.diversity import MAX_ROUNDS, Groups
from service.filter_cache import FilterCache
from service.new_items import mix, places_of_new, rank_new, trained_only
from service.popular import popular_items
from service.query import Query, Recommendation, Recommended
from service.scope import CatalogScope, Items, ListScope, Scope, excluded_items, listed_items
from service.search_rows import Leaves, SearchRows
from service.snapshot import Snapshot

LEAST_POPULAR = 256
"""Popular items that are looked at in one go where caps may keep some of them out."""


class Searched(NamedTuple):
    """What one search found: each modality's list, and the affinities ``(m, L, M)`` of dense scores, if any."""

    lists: list[ScoredItems]
    affinities: NDArray[np.float32] | None


NOT_SEARCHED = Searched([], None)


class Stages:
    """Seconds of the stages of one answer, and how its first search ran."""

    def __init__(self) -> None:
        """Begins with none."""
        self.seconds: dict[str, float] = {}
        self.states_known: bool | None = None
        self.searches = 0

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time of a ``with`` block to a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def note(self, found: Leaves) -> None:
        """Keeps what is to be told of the answer's first search."""
        if not self.searches:
            self.states_known, self.searches = found.states_known, found.searches


class Recommender:
    """Answers queries; threads may share it."""

    def __init__(self, max_beam: int, filters: FilterCache | None = None) -> None:
        """Searches with at most ``max_beam`` beams, and keeps what filters allow in ``filters``."""
        self.max_beam = max_beam
        self.filters = filters or FilterCache()

    def recommend(self, snapshot: Snapshot, query: Query) -> Recommendation:
        """The best items for a query; the most popular ones if no item of its history is known, some of them if few."""
        stages = Stages()
        with stages.timed("prepare"):
            history, unknown = snapshot.catalog.find_many(query.history)
            excluded = excluded_items(snapshot.catalog, query, history)
        scope, unknown_allowed, filter_known = self._scope(snapshot, query, excluded, stages)

        def ranking(scope: Scope) -> list[Recommended]:
            known = len(np.unique(history))
            searched = self._search(snapshot, query, history, scope, stages) if known else NOT_SEARCHED
            lists, found = searched.lists, self._joined(snapshot, query, searched, stages)
            if known and snapshot.catalog.has_new_items and places_of_new(query):
                found = self._with_new(snapshot, query, history, scope, lists, found, stages)
            if known and known >= query.blend_below:
                return found
            with stages.timed("prepare"):
                count = max(query.k, LEAST_POPULAR) if query.caps else query.k
                popular = popular_items(snapshot.catalog, scope, count)
                return blend(found, popular, known, query.blend_below) if known else popular

        items, cut_short = self._fill(snapshot, query, scope, ranking, stages)
        return Recommendation(
            items=items,
            generated=bool(len(history)),
            unknown_items=unknown,
            reachable=scope.reachable,
            cut_short=cut_short,
            unknown_allowed=unknown_allowed,
            filter_known=filter_known,
            states_known=stages.states_known,
            searches=stages.searches,
            seconds=stages.seconds,
        )

    def _scope(
        self, snapshot: Snapshot, query: Query, excluded: Items, stages: Stages
    ) -> tuple[Scope, int, bool | None]:
        """What the query may find, how many ids of its allow list are unknown, and whether its filter was known."""
        if query.allow is not None:
            with stages.timed("filter"):
                listed, unknown = listed_items(snapshot.catalog, query, query.allow, excluded)
            return ListScope(snapshot, listed), unknown, None
        if query.filter is None:
            restriction, _ = self.filters.get(snapshot, None)
            return CatalogScope(snapshot, self.filters, None, restriction, excluded), 0, None
        with stages.timed("filter"):
            restriction, known = self.filters.get(snapshot, query.filter)
        return CatalogScope(snapshot, self.filters, query.filter, restriction, excluded), 0, known

    def _fill(
        self,
        snapshot: Snapshot,
        query: Query,
        scope: Scope,
        ranking: Callable[[Scope], list[Recommended]],
        stages: Stages,
    ) -> tuple[list[Recommended], bool]:
        """The first k of a ranking, or of several where caps keep items of the first out (:mod:`service.diversity`).

        And whether these were as many as there may be, and not enough.
        """
        if not query.caps:
            return ranking(scope)[: query.k] if scope.reachable else [], False
        groups = Groups(snapshot.catalog, query.caps)
        found: list[Recommended] = []
        for _ in range(MAX_ROUNDS):
            if not scope.reachable:
                return found, False
            ranked = ranking(scope)
            with stages.timed("fuse"):
                found += [ranked[place] for place in groups.take([item.item for item in ranked], query.k - len(found))]
            if len(found) == query.k:
                return found, False
            with stages.timed("prepare"):
                scope = scope.without([item.item for item in found], groups)
        return found, bool(scope.reachable)

    def _with_new(
        self,
        snapshot: Snapshot,
        query: Query,
        history: Items,
        scope: Scope,
        lists: list[ScoredItems],
        found: list[Recommended],
        stages: Stages,
    ) -> list[Recommended]:
        """A ranking with the best new items where they are due (:mod:`service.new_items`)."""
        with stages.timed("prepare"):
            new_items = scope.new_items()
        if not new_items.reachable:
            return found
        expected = trained_only(snapshot, lists)
        if not any(len(each.items) for each in expected):
            everything = CatalogScope(snapshot, self.filters, None, None, np.zeros(0, dtype=np.int64))
            expected = trained_only(snapshot, self._search(snapshot, query, history, everything, stages).lists)
        with stages.timed("fuse"):
            new = rank_new(snapshot, query.weights, expected, new_items.items, None if query.caps else query.k)
            return mix(found, new, query.new_after, query.new_every)

    def _search(self, snapshot: Snapshot, query: Query, history: Items, scope: Scope, stages: Stages) -> Searched:
        """What one search finds in each modality, and what scores items as wholes."""
        with stages.timed("prepare"):
            rows = self._rows(snapshot, query, history, scope)
        with stages.timed("search"):
            found = snapshot.engine.search(scope.inputs, rows)
        stages.note(found)
        with stages.timed("fuse"):
            lists = [_items(scope, *each) for each in zip(found.leaves, found.scores, strict=True)]
            return Searched(lists, None if found.affinities is None else found.affinities[0])

    def _joined(self, snapshot: Snapshot, query: Query, searched: Searched, stages: Stages) -> list[Recommended]:
        """The lists of the modalities, and dense scores, as one list."""
        if not searched.lists:
            return []
        levels = snapshot.catalog.space.levels
        with stages.timed("fuse"):
            dense = _dense_list(snapshot, query, searched)
            fused = fuse(searched.lists, list(query.weights.values()), levels, snapshot.fusion, dense)
            names = [*query.weights, *(() if dense is None else (DENSE,))]
            return _recommended(fused, names, None if query.caps else query.k)

    def _rows(self, snapshot: Snapshot, query: Query, history: Items, scope: Scope) -> SearchRows:
        """One row per modality, of equal length because every item has L codes in each."""
        space = snapshot.catalog.space
        modalities = [space.modality_index(modality) for modality in query.weights]
        latest = history[-snapshot.engine.max_history :]
        every = range(len(space.modalities)) if snapshot.engine.position == "item" else modalities
        codes = {each: snapshot.catalog.codes(each, latest) for each in every}
        # The modalities' lists read the same tokens where those are of all modalities.
        read = modalities[:1] if snapshot.engine.position == "item" else modalities
        tokens = [history_tokens(space, snapshot.engine.position, each, codes).ravel() for each in read]
        return SearchRows(
            tokens=np.stack(tokens),
            modality=np.array(modalities, dtype=np.int64),
            dead_edges=scope.dead_edges(modalities),
            beam=min(max(query.beam, query.k), self.max_beam),
            history=np.arange(len(modalities)) % len(read),
        )


def _dense_list(snapshot: Snapshot, query: Query, searched: Searched) -> DenseList | None:
    """Dense scores of any items, if there are any and they weigh something."""
    affinities, catalog = searched.affinities, snapshot.catalog
    if affinities is None or not query.dense:
        return None
    modalities = range(len(catalog.space.modalities))

    def scores(items: NDArray[np.int64]) -> NDArray[np.float64]:
        return dense_scores(affinities, np.stack([catalog.codes(each, items) for each in modalities]))

    return DenseList(query.dense, scores)


def _items(scope: Scope, leaves: NDArray[np.int64], scores: NDArray[np.float32]) -> ScoredItems:
    """The items on ``leaves`` ``(W,)`` in their order; those on one leaf share its score and stand by popularity."""
    leaves, scores = leaves[leaves >= 0], scores[leaves >= 0]
    starts = scope.trie.leaf_start[leaves]
    counts = scope.trie.leaf_start[leaves + 1] - starts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    items = scope.trie.leaf_item[np.repeat(starts, counts) + within]
    kept = scope.keeps(items)
    return ScoredItems(items[kept], np.repeat(scores, counts)[kept])


def _recommended(fused: FusedItems, names: list[str], count: int | None) -> list[Recommended]:
    """The first ``count`` of the joined list, or all of it."""
    columns = (each[:count].tolist() for each in (fused.items, fused.scores, fused.list_ranks, fused.list_scores))
    return [
        Recommended(
            item,
            score,
            {name: rank for name, rank in zip(names, ranks, strict=True) if rank},
            {name: each for name, each in zip(names, scores, strict=True) if not math.isnan(each)},
        )
        for item, score, ranks, scores in zip(*columns, strict=True)
    ]
