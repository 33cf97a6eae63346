"""What a request with rules should be answered, the slow way: list the items that may come back, search only those."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from model.fusion import FusionConfig, ScoredItems, fuse
from model.live_catalog import LiveCatalog
from model.transformer import Transformer
from tests.filters import held
from tests.naive_search import Cold, naive_search


@dataclass
class Naive:
    """A catalog and the generator; by score alone, items that were not trained are ranked as all others."""

    catalog: LiveCatalog
    transformer: Transformer
    margin: float = float("inf")

    def ranking(self, history: list[int], allowed: set[int], weights: dict[str, float], beams: int) -> list[int]:
        """Every item that the searches over ``allowed`` find, joined; notes how near a decision was to a tie."""
        catalog, space = self.catalog, self.catalog.space
        lists = []
        for modality in (space.modality_index(name) for name in weights):
            codes = [tuple(row) for row in catalog.codes(modality, np.arange(len(catalog))).tolist()]
            tokens = space.tokens(modality, catalog.codes(modality, np.array(history))).ravel().tolist()
            ids = {codes[item] for item in allowed}
            found = naive_search(self.transformer, space, modality, tokens, ids, beams, Cold(ids))
            self.margin = min(self.margin, found.margin)
            shelves = [
                sorted((item for item in allowed if codes[item] == each), key=catalog.rank) for each in found.ids
            ]
            scores = [score for score, shelf in zip(found.scores, shelves, strict=True) for _ in shelf]
            items = np.array([item for shelf in shelves for item in shelf], dtype=np.int64)
            lists.append(ScoredItems(items, np.array(scores)))
        fused = fuse(lists, list(weights.values()), space.levels, FusionConfig())
        gaps = [first - second for first, second in pairwise(fused.scores.tolist()) if first != second]
        self.margin = min([self.margin, *gaps])
        ranked: list[int] = fused.items.tolist()
        return ranked

    def groups(self, item: int, max_per: dict[str, int], prefixes: dict[str, tuple[int, int]]) -> dict[Any, int]:
        """An item's groups and how many items each may give."""
        metadata, found = self.catalog.metadata(item), {}
        for name, most in max_per.items():
            for value in held(metadata, name):
                kind = "string" if isinstance(value, str) else "boolean" if isinstance(value, bool) else "number"
                found[name, kind, value] = most
        for name, (depth, most) in prefixes.items():
            codes = self.catalog.codes(self.catalog.space.modality_index(name), np.array([item]))[0]
            found[name, "prefix", tuple(codes[:depth].tolist())] = most
        return found

    def capped(
        self,
        history: list[int],
        allowed: Iterable[int],
        weights: dict[str, float],
        k: int,
        beams: int,
        max_per: dict[str, int],
        prefixes: dict[str, tuple[int, int]],
    ) -> list[int]:
        """The stated rule: down the ranking, past what is full; then again among what is neither full nor taken."""
        left, taken, counts = set(allowed), list[int](), Counter[Any]()

        def full(item: int) -> bool:
            return any(counts[group] >= most for group, most in self.groups(item, max_per, prefixes).items())

        while left and len(taken) < k:
            for item in self.ranking(history, left, weights, beams):
                if len(taken) < k and not full(item):
                    taken.append(item)
                    counts.update(self.groups(item, max_per, prefixes).keys())
            left = {item for item in left - set(taken) if not full(item)}
        return taken
