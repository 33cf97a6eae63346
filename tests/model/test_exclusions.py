"""Dead edges are exactly the edges below which nothing is allowed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.allowed import Allowed
from model.exclusions import NO_EDGE, allowed_without, dead_edges, pack_dead_edges
from model.trie import Trie, build_trie


def naive_dead_edges(trie: Trie, modality: int, excluded: set[int]) -> list[list[int]]:
    """Looks at every node of the modality, and at every item below it."""
    dead: list[list[int]] = [[] for _ in range(trie.levels)]

    def alive(node: int, depth: int) -> bool:
        if node >= trie.first_leaf:
            return not set(trie.leaf_items(node - trie.first_leaf).tolist()) <= excluded
        edges = range(trie.child_start[node], trie.child_start[node + 1])
        living = [alive(edge + 1, depth + 1) for edge in edges]
        dead[depth].extend(edge for edge, lives in zip(edges, living, strict=True) if not lives)
        return any(living)

    alive(trie.root(modality), 0)
    return [sorted(level) for level in dead]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_dead_edges_equal_a_look_at_every_node(data: st.DataObject) -> None:
    items, codes = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    trie = build_trie(rng.integers(0, codes, (2, items, 3), dtype=np.uint8))
    excluded = data.draw(st.lists(st.integers(0, items - 1), max_size=items + 3))
    for modality in range(2):
        found = dead_edges(trie, modality, np.array(excluded, dtype=np.int64))
        assert [level.tolist() for level in found] == naive_dead_edges(trie, modality, set(excluded))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_with_a_filter_what_it_leaves_out_counts_as_removed(data: st.DataObject) -> None:
    """The dead edges and those that the filter forbids are together all that lead to no item that may come back."""
    items, codes = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    trie = build_trie(rng.integers(0, codes, (2, items, 3), dtype=np.uint8))
    excluded = data.draw(st.lists(st.integers(0, items - 1), max_size=items + 3))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=items, max_size=items)))
    allowed = Allowed.of(trie, mask)
    gone = set(excluded) | set(np.flatnonzero(~mask).tolist())
    for modality in range(2):
        found = dead_edges(trie, modality, np.array(excluded, dtype=np.int64), allowed)
        for level, expected in zip(found, naive_dead_edges(trie, modality, gone), strict=True):
            assert level.tolist() == [edge for edge in expected if allowed.edges[edge]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_rule_less_some_items_is_the_rule_worked_out_without_them(data: st.DataObject) -> None:
    items, codes = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    trie = build_trie(rng.integers(0, codes, (2, items, 3), dtype=np.uint8))
    removed = np.unique(np.array(data.draw(st.lists(st.integers(0, items - 1))), dtype=np.int64))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=items, max_size=items)))
    for rule, before in ((Allowed.of(trie, mask), mask), (None, np.ones(items, dtype=np.bool_))):
        left = before & ~np.isin(np.arange(items), removed)
        less, anew = allowed_without(trie, rule, removed), Allowed.of(trie, left)
        assert (less.items.tolist(), less.total) == (left.tolist(), anew.total)
        below_the_roots = slice(trie.modalities, None)
        assert less.edges[below_the_roots].tolist() == anew.edges[below_the_roots].tolist()


def test_packing_pads_with_no_edge_and_is_never_empty() -> None:
    rows = [[np.array([4, 5]), np.array([9])], [np.array([], dtype=np.int64), np.array([7])]]
    assert pack_dead_edges(rows).tolist() == [[[4, 5], [9, NO_EDGE]], [[NO_EDGE, NO_EDGE], [7, NO_EDGE]]]
    empty = [[np.array([], dtype=np.int64)] * 2]
    assert pack_dead_edges(empty).tolist() == [[[NO_EDGE], [NO_EDGE]]]
