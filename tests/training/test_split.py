from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.interactions import Interactions
from training.split import NO_ITEM, Split

Sequences = list[list[int]]


def split_of(sequences: Sequences) -> Split:
    lengths = [len(sequence) for sequence in sequences]
    flat = [item for sequence in sequences for item in sequence]
    return Split(
        Interactions(
            user_ids=[str(user) for user in range(len(sequences))],
            offsets=np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))),
            items=np.array(flat, dtype=np.int32),
            timestamps=np.arange(len(flat), dtype=np.int64),
        )
    )


SEQUENCES = [[1, 2, 3, 4, 5], [6], [7, 8], [], [9, 1, 2]]


def test_the_last_two_events_are_held_out_of_users_with_three() -> None:
    split = split_of(SEQUENCES)
    assert split.users.tolist() == [0, 4]
    assert split.targets(split.users, "validation").tolist() == [4, 1]
    assert split.targets(split.users, "test").tolist() == [5, 2]


def test_the_test_history_ends_with_the_validation_target() -> None:
    split = split_of(SEQUENCES)
    validation = split.histories(split.users, "validation", max_items=3)
    test = split.histories(split.users, "test", max_items=3)
    assert validation.items.tolist() == [[1, 2, 3], [9, NO_ITEM, NO_ITEM]]
    assert test.items.tolist() == [[2, 3, 4], [9, 1, NO_ITEM]]
    assert test.lengths.tolist() == [3, 2]
    assert test.items.dtype == np.int32


def test_every_training_prefix_is_an_example_and_nothing_held_out_is() -> None:
    split = split_of(SEQUENCES)
    pairs = split.training_pairs()
    assert list(zip(pairs.users.tolist(), pairs.positions.tolist(), strict=True)) == [(0, 1), (0, 2), (2, 1)]
    assert split.training_targets(pairs).tolist() == [2, 3, 8]
    assert split.training_histories(pairs, max_items=2).items.tolist() == [[1, NO_ITEM], [1, 2], [7, NO_ITEM]]


def test_several_last_events_are_test_targets_as_far_as_one_is_left_to_train() -> None:
    interactions = split_of(SEQUENCES).interactions
    split = Split(interactions, test_events=3)
    assert split.users.tolist() == [0, 4]
    assert split.targets(split.users, "validation").tolist() == [2, 1]
    assert split.interactions.items[split.training_events()].tolist() == [1, 6, 7, 8, 9]
    looks = [replace(split, back=back) for back in range(4)]
    assert [look.users.tolist() for look in looks] == [[0, 4], [0], [0], []]
    assert [look.targets(look.users, "test").tolist() for look in looks] == [[5, 2], [4], [3], []]
    assert [look.histories(look.users, "test", 2).items.tolist() for look in looks[:3]] == [
        [[3, 4], [9, 1]],
        [[2, 3]],
        [[1, 2]],
    ]
    assert all(np.array_equal(look.training_events(), split.training_events()) for look in looks)


def test_training_counts_leave_out_what_is_held_out() -> None:
    assert split_of(SEQUENCES).training_counts(11).tolist() == [0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0]


def test_a_set_without_events_splits_into_nothing() -> None:
    split = split_of([])
    assert len(split.users) == len(split.training_pairs().users) == 0
    assert split.histories(split.users, "test", max_items=4).items.shape == (0, 4)


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=9), st.integers(1, 5))
def test_the_arrays_equal_a_loop_over_users(sequences: Sequences, max_items: int) -> None:
    split = split_of(sequences)
    held = {user: sequence for user, sequence in enumerate(sequences) if len(sequence) >= 3}
    train = [sequence[:-2] if user in held else sequence for user, sequence in enumerate(sequences)]
    expected = [(user, p, train[user][p]) for user in range(len(train)) for p in range(1, len(train[user]))]

    pairs = split.training_pairs()
    targets = split.training_targets(pairs)
    assert list(zip(*(column.tolist() for column in (*pairs, targets)), strict=True)) == expected
    windows = split.training_histories(pairs, max_items)
    assert [row[row != NO_ITEM].tolist() for row in windows.items] == [
        train[user][max(0, p - max_items) : p] for user, p, _ in expected
    ]
    seen = split.seen(split.users, "test")
    assert [row.tolist() for row in np.split(seen.items, seen.offsets[1:-1])] == [
        sequence[:-1] for sequence in held.values()
    ] or not held
