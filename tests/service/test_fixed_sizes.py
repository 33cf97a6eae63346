"""Rows and tries of a few sizes hold what was given, and nothing that a search could find besides."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.exclusions import NO_EDGE
from model.semantic_ids import PAD
from service.fixed_sizes import LEAST_SLOTS, TrieRoom, pad_rows
from service.search_rows import SearchRows

EACH, LONGEST, LEVELS = 3, 20, 3


def rows_of(histories: int, rows: int, items: int, dead: int) -> SearchRows:
    random = np.random.default_rng(histories)
    return SearchRows(
        random.integers(1, 50, (histories, items * EACH)),
        random.integers(0, 2, rows),
        random.integers(0, 99, (rows, LEVELS, dead)).astype(np.int32),
        beam=7,
        history=random.integers(0, histories, rows),
    )


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, LONGEST + 5), st.integers(1, 70))


@given(sizes=SIZES)
def test_what_was_given_comes_first_and_unchanged(sizes: tuple[int, int, int, int]) -> None:
    rows = rows_of(*sizes)
    padded = pad_rows(rows, EACH, LONGEST)
    histories, length = rows.tokens.shape
    np.testing.assert_array_equal(padded.tokens[:histories, :length], rows.tokens)
    assert (padded.tokens[:, length:] == PAD).all()
    np.testing.assert_array_equal(padded.modality[: len(rows.modality)], rows.modality)
    np.testing.assert_array_equal(padded.histories[: len(rows.modality)], rows.histories)
    np.testing.assert_array_equal(padded.dead_edges[: len(rows.modality), :, : sizes[3]], rows.dead_edges)
    assert (padded.dead_edges[:, :, sizes[3] :] == NO_EDGE).all()
    assert padded.beam == rows.beam
    assert [each.dtype for each in padded[:3]] == [each.dtype for each in rows[:3]]


@given(sizes=SIZES)
def test_added_rows_are_like_the_first(sizes: tuple[int, int, int, int]) -> None:
    padded = pad_rows(rows_of(*sizes), EACH, LONGEST)
    for array, given_rows in ((padded.tokens, sizes[0]), (padded.modality, sizes[1]), (padded.dead_edges, sizes[1])):
        assert (array[given_rows:] == array[0]).all()


def test_all_sizes_become_a_few() -> None:
    sizes = {
        (*padded.tokens.shape, *padded.dead_edges.shape)
        for histories in range(1, 9)
        for items in range(1, LONGEST + 1)
        for dead in (1, 2, 3, 10, 60, 65, 200)
        for padded in [pad_rows(rows_of(histories, histories, items, dead), EACH, LONGEST)]
    }
    assert {each[0] for each in sizes} == {1, 2, 4, 8}
    assert {each[1] // EACH for each in sizes} == {1, 2, 4, 8, 16, LONGEST}
    # Up to as many as a history holds are one size.
    assert {each[-1] for each in sizes} == {64, 256}


def test_a_longer_history_than_any_keeps_its_length() -> None:
    assert pad_rows(rows_of(1, 1, LONGEST + 1, 1), EACH, LONGEST).tokens.shape == (1, (LONGEST + 1) * EACH)


@given(size=st.integers(1, 2**31))
def test_room_is_never_too_small_and_never_much_too_large(size: int) -> None:
    size = size % 100_000 + 1
    (room,) = TrieRoom(LEVELS).fill({"child_code": np.ones(size, dtype=np.uint8)}).values()
    assert size <= len(room) <= 1.25 * size + 1
    assert (room[:size] == 1).all()
    assert not room[size:].any()


def test_places_for_children_stay_numbered() -> None:
    filled = TrieRoom(LEVELS).fill({"slots_0": np.arange(200), "slots_2": np.arange(3)})
    np.testing.assert_array_equal(filled["slots_0"], np.arange(256))
    np.testing.assert_array_equal(filled["slots_2"], np.arange(LEAST_SLOTS))


def test_room_for_a_large_trie_is_kept_for_smaller_ones() -> None:
    room = TrieRoom(LEVELS)
    sizes = [
        len(room.fill({"edge_allowed": np.ones(size, dtype=np.bool_)})["edge_allowed"]) for size in (100, 1000, 101)
    ]
    assert sizes == [112, 1024, 1024]


def test_a_few_more_items_need_no_other_sizes() -> None:
    room = TrieRoom(LEVELS)
    sizes = {
        len(room.fill({"child_code": np.ones(size, dtype=np.uint8)})["child_code"]) for size in range(9_000, 9_200)
    }
    assert len(sizes) == 1
