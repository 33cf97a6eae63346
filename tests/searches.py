"""Searches of real engines over a small catalog, and what it means that two found the same."""

import numpy as np
from hypothesis import strategies as st

from model.exclusions import dead_edges, pack_dead_edges
from model.generator_shape import GeneratorShape
from model.history_tokens import history_tokens
from service.engine import Engine
from service.search_rows import Leaves, SearchRows
from tests.bundles import ITEMS, MAX_HISTORY, SPACE, build_catalog

SHAPES = {
    "published": GeneratorShape(),
    "own": GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True),
}
CATALOG = build_catalog()


class Searches:
    """Searches over one catalog, as the recommender asks for them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.trie = engine.prepare(CATALOG.trie, np.ones(ITEMS, dtype=np.bool_))

    def rows(self, history: list[int], modalities: list[int], excluded: list[int], beam: int = 10) -> SearchRows:
        codes = {each: CATALOG.codes[each, history] for each in range(2)}
        by_item = self.engine.position == "item"
        tokens = [history_tokens(SPACE, self.engine.position, each, codes).ravel() for each in modalities]
        read = tokens[:1] if by_item else tokens
        dead = pack_dead_edges([dead_edges(CATALOG.trie, each, np.array(excluded, dtype=int)) for each in modalities])
        return SearchRows(np.stack(read), np.array(modalities), dead, beam, np.arange(len(modalities)) % len(read))

    def alone(self, rows: SearchRows) -> Leaves:
        return self.engine.search(self.trie, rows)


def check_same(found: Leaves, alone: Leaves) -> None:
    """Equal leaves in the same order, but for ties, and equal scores."""
    np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
    np.testing.assert_array_equal(np.sort(found.leaves), np.sort(alone.leaves))
    assert (found.affinities is None) == (alone.affinities is None)
    if found.affinities is not None and alone.affinities is not None:
        np.testing.assert_allclose(found.affinities, alone.affinities, atol=1e-4)


ITEM = st.integers(0, ITEMS - 1)
ASKED = st.tuples(
    st.lists(ITEM, min_size=1, max_size=MAX_HISTORY),
    st.sampled_from([[0], [1], [0, 1], [1, 0]]),
    st.lists(ITEM, max_size=20, unique=True),
)
