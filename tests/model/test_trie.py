"""The trie's arrays hold exactly the semantic IDs that they were built from."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from model.errors import BundleError
from model.trie import MANY_NODES, Trie, build_trie, check_numbers

codes_arrays = st.tuples(
    st.integers(1, 3), st.integers(1, 40), st.integers(1, 5), st.sampled_from([1, 2, 3, 256])
).flatmap(lambda sizes: npst.arrays(np.uint8, sizes[:3], elements=st.integers(0, sizes[3] - 1)))


def walk(trie: Trie, modality: int) -> dict[tuple[int, ...], list[int]]:
    """Every ID of a modality with the items on its leaf, by following edges one at a time."""
    found = {}

    def descend(node: int, prefix: tuple[int, ...]) -> None:
        if node >= trie.first_leaf:
            found[prefix] = trie.leaf_items(node - trie.first_leaf).tolist()
            return
        for edge in range(trie.child_start[node], trie.child_start[node + 1]):
            descend(edge + 1, (*prefix, int(trie.child_code[edge])))

    descend(trie.root(modality), ())
    return found


@settings(max_examples=200, deadline=None)
@given(codes=codes_arrays)
def test_walking_the_trie_finds_every_id_with_its_items_and_nothing_else(codes: NDArray[np.uint8]) -> None:
    trie = build_trie(codes)
    for modality in range(codes.shape[0]):
        expected: dict[tuple[int, ...], list[int]] = {}
        for item, item_codes in enumerate(codes[modality].tolist()):
            expected.setdefault(tuple(item_codes), []).append(item)
        found = walk(trie, modality)
        assert found == expected
        assert list(found) == sorted(expected), "leaves stand in the order of their IDs"


@settings(max_examples=100, deadline=None)
@given(codes=codes_arrays)
def test_the_fan_outs_are_the_most_continuations_of_a_prefix(codes: NDArray[np.uint8]) -> None:
    expected = []
    for length in range(codes.shape[2]):
        most = 0
        for own in codes:
            continued = Counter(tuple(ids[:length]) for ids in np.unique(own[:, : length + 1], axis=0))
            most = max(most, *continued.values())
        expected.append(most)
    assert build_trie(codes).fan_outs == tuple(expected)


@settings(max_examples=100, deadline=None)
@given(codes=codes_arrays)
def test_nodes_know_their_parents_and_leaf_ranges(codes: NDArray[np.uint8]) -> None:
    trie = build_trie(codes)
    for node in range(trie.first_leaf):
        children = np.arange(trie.child_start[node], trie.child_start[node + 1], dtype=np.int64) + 1
        assert (trie.parents(children) == node).all()
        assert (trie.parents(np.resize(children, MANY_NODES + 1)) == node).all()
        low, high = trie.leaf_ranges(np.array([node]))
        child_low, child_high = trie.leaf_ranges(children)
        assert (low[0], high[0]) == (child_low[0], child_high[-1])
        assert (child_low[1:] == child_high[:-1]).all()


@given(codes=codes_arrays)
def test_item_leaf_inverts_the_leaves(codes: NDArray[np.uint8]) -> None:
    trie = build_trie(codes)
    for modality in range(codes.shape[0]):
        for item in range(codes.shape[1]):
            assert item in trie.leaf_items(trie.item_leaf[modality, item])


def test_items_on_a_shared_leaf_stand_by_rank() -> None:
    codes = np.zeros((1, 4, 2), dtype=np.uint8)
    trie = build_trie(codes, rank=np.array([3, 0, 2, 1]))
    assert trie.leaf_items(0).tolist() == [1, 3, 2, 0]


def test_a_known_trie_has_the_expected_arrays() -> None:
    codes = np.array([[[5, 1], [5, 3], [9, 1]], [[7, 7], [2, 0], [7, 6]]], dtype=np.uint8)
    trie = build_trie(codes)
    assert trie.child_code.tolist() == [0, 1, 5, 9, 2, 7, 1, 3, 1, 0, 6, 7]
    assert trie.child_start.tolist() == [0, 2, 4, 6, 8, 9, 10, 12]
    assert trie.depth_start.tolist() == [0, 1, 3, 7, 13]
    assert trie.leaf_item.tolist() == [0, 1, 2, 1, 2, 0]


def test_a_large_random_trie_costs_little_more_than_its_ids() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (1, 300_000, 4), dtype=np.uint8)
    trie = build_trie(codes)
    assert trie.nbytes <= 8 * codes.shape[1]


def test_an_empty_catalog_is_refused() -> None:
    with pytest.raises(BundleError, match="no trie"):
        build_trie(np.zeros((1, 0, 4), dtype=np.uint8))


def test_climbing_from_a_few_nodes_costs_nothing_of_the_tries_size() -> None:
    """Numbers of another type than the trie's made numpy convert all of it, 8 bytes a node, for every request."""
    trie = build_trie(np.random.default_rng(0).integers(0, 256, (1, 50_000, 4), dtype=np.uint8))
    nodes = trie.first_leaf + np.arange(3, dtype=np.int64)
    tracemalloc.start()
    parents = trie.parents(nodes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000 < len(trie.child_start)
    assert (trie.child_start[parents] < nodes).all()


def test_a_trie_that_is_too_large_for_its_arrays_is_refused() -> None:
    check_numbers(nodes=2**31 - 1, slots=2**31 - 1)
    for nodes, slots in ((2**31, 1), (1, 2**31)):
        with pytest.raises(BundleError, match="fewer levels"):
            check_numbers(nodes=nodes, slots=slots)
