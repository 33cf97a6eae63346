"""Items that join and leave one by one, or several at once, give the very arrays that building at once gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.exclusions import dead_edges
from model.trie import Trie, build_trie
from model.trie_merge import delete_items, insert_items
from model.trie_walk import children_of

ARRAYS = ("child_start", "child_code", "depth_start", "leaf_start", "leaf_item")


def built_at_once(codes: NDArray[np.uint8], present: list[int], rank: NDArray[np.int64]) -> Trie:
    """The trie over some of the items, by sorting them all."""
    chosen = np.array(sorted(present))
    trie = build_trie(codes[:, chosen], rank[chosen])
    leaf_item = chosen[trie.leaf_item].astype(np.int32)
    return Trie(trie.child_start, trie.child_code, trie.depth_start, trie.leaf_start, leaf_item, codes.shape[1])


def assert_same(ours: Trie, theirs: Trie) -> None:
    for name in ARRAYS:
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.tolist() == other.tolist(), name
        assert mine.dtype == other.dtype, name
    assert (ours.item_leaf == theirs.item_leaf).all()
    assert ours.item_leaf.dtype == theirs.item_leaf.dtype


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_inserting_and_deleting_step_by_step_equals_building_at_once(data: st.DataObject) -> None:
    modalities, items, levels = (data.draw(st.integers(1, top)) for top in (3, 14, 4))
    code = st.integers(0, data.draw(st.sampled_from([0, 1, 3, 255])))
    size = modalities * items * levels
    flat = data.draw(st.lists(code, min_size=size, max_size=size))
    codes = np.array(flat, dtype=np.uint8).reshape(modalities, items, levels)
    rank = np.array(data.draw(st.permutations(range(items))))
    present = data.draw(st.sets(st.integers(0, items - 1), min_size=1))
    trie = built_at_once(codes, list(present), rank)
    for _ in range(data.draw(st.integers(1, 6))):
        changed = data.draw(st.lists(st.integers(0, items - 1), unique=True, max_size=items))
        leaving = [item for item in changed if item in present]
        joining = [item for item in changed if item not in present]
        if leaving:
            trie = delete_items(trie, leaving, codes[:, leaving], items)
        if joining:
            trie = insert_items(trie, joining, codes[:, joining], lambda item: int(rank[item]), items)
        present = (present - set(leaving)) | set(joining)
        if present:
            assert_same(trie, built_at_once(codes, list(present), rank))


def test_the_last_item_may_leave_and_another_come() -> None:
    codes = np.array([[[1, 2], [3, 4]]], dtype=np.uint8)
    empty = delete_items(build_trie(codes[:, :1]), [0], codes[:, :1], 2)
    assert (empty.leaves, empty.items, empty.child_code.tolist()) == (0, 0, [0])
    again = insert_items(empty, [1], codes[:, 1:], int, 2)
    assert_same(again, built_at_once(codes, [1], np.arange(2)))


def test_an_excluded_item_that_stands_on_no_leaf_changes_nothing() -> None:
    codes = np.array([[[1, 2], [3, 4], [3, 5]]], dtype=np.uint8)
    trie = delete_items(build_trie(codes), [0], codes[:, :1], 3)
    with_it, without = (dead_edges(trie, 0, np.array(excluded)) for excluded in ([0, 1], [1]))
    assert [level.tolist() for level in with_it] == [level.tolist() for level in without]


def test_the_children_of_a_prefix_are_its_codes() -> None:
    codes = np.array([[[1, 2], [1, 0], [3, 4]], [[7, 7], [7, 8], [7, 9]]], dtype=np.uint8)
    trie = build_trie(codes)
    assert children_of(trie, 0, ()).tolist() == [1, 3]
    assert children_of(trie, 0, (1,)).tolist() == [0, 2]
    assert children_of(trie, 1, (7,)).tolist() == [7, 8, 9]
    assert children_of(trie, 1, (8,)).tolist() == []
