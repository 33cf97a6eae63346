"""States that are found belong to the beginning of the very history that is asked for, and memory stays bounded."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.history_states import LOOK_BACK, HistoryStates, States, Tokens

TOKENS, WIDTH = 2, 3
Histories = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=2 * LOOK_BACK), max_size=30)


def tokens_of(history: list[int]) -> Tokens:
    """Tokens ``(n, 2)`` of items."""
    return np.repeat(np.array(history, dtype=np.int64)[:, np.newaxis], TOKENS, axis=1)


def encode(tokens: Tokens) -> States:
    """States that tell the whole beginning of the history up to each item, by two numbers that hold 14 items each."""
    digits = tokens[:, 0] + 1
    numbers = np.zeros((len(tokens), WIDTH), dtype=np.float32)
    for place in range(len(tokens)):
        for column, part in enumerate((digits[: place + 1][:14], digits[: place + 1][14:])):
            numbers[place, column] = sum(int(digit) * 3**power for power, digit in enumerate(part))
    return numbers


@given(Histories, st.integers(0, 4000))
def test_what_is_found_is_what_encoding_the_beginning_gives(histories: list[list[int]], max_bytes: int) -> None:
    states = HistoryStates(WIDTH, max_bytes)
    for history in histories:
        tokens = tokens_of(history)
        found = states.of_beginning(tokens)
        assert len(found) < len(tokens), "the last item is always encoded"
        np.testing.assert_array_equal(found, encode(tokens)[: len(found)])
        states.keep(tokens, encode(tokens))
        assert states.nbytes <= max_bytes


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30), st.lists(st.integers(0, 9), max_size=LOOK_BACK))
def test_the_same_history_and_one_with_some_more_events_are_found(history: list[int], more: list[int]) -> None:
    states = HistoryStates(WIDTH, 1 << 20)
    states.keep(tokens_of(history), encode(tokens_of(history)))
    found = states.of_beginning(tokens_of(history + more))
    assert len(found) == (len(history) if more else len(history) - 1)


def test_a_history_that_went_on_takes_the_place_of_its_beginning() -> None:
    states = HistoryStates(WIDTH, 1 << 20)
    for length in (2, 3, 4, 9):
        states.keep(tokens_of(list(range(length))), encode(tokens_of(list(range(length)))))
    assert len(states) == 1
    states.keep(tokens_of([0, 1, 7]), encode(tokens_of([0, 1, 7])))
    assert len(states) == 2
    assert states.nbytes == sum(4 * WIDTH * length + 8 * TOKENS * length for length in (9, 3))


def test_of_a_history_that_went_another_way_the_common_beginning_is_found() -> None:
    states = HistoryStates(WIDTH, 1 << 20)
    states.keep(tokens_of([1, 2, 3]), encode(tokens_of([1, 2, 3])))
    np.testing.assert_array_equal(states.of_beginning(tokens_of([1, 2, 4])), encode(tokens_of([1, 2])))
    assert not len(states.of_beginning(tokens_of([1, 4, 3])))


def test_what_was_not_used_for_longest_makes_room() -> None:
    one, two, three = (tokens_of([first, 5]) for first in (1, 2, 3))
    of_one = one.nbytes + encode(one).nbytes
    states = HistoryStates(WIDTH, 2 * of_one)
    states.keep(one, encode(one))
    states.keep(two, encode(two))
    assert len(states.of_beginning(one))
    states.keep(three, encode(three))
    assert [len(states.of_beginning(each)) for each in (one, two, three)] == [1, 0, 1]
    assert (len(states), states.nbytes) == (2, 2 * of_one)


@pytest.mark.parametrize("max_bytes", [0, 10])
def test_without_room_nothing_is_kept(max_bytes: int) -> None:
    states = HistoryStates(WIDTH, max_bytes)
    states.keep(tokens_of([1, 2, 3]), encode(tokens_of([1, 2, 3])))
    assert (len(states), states.nbytes) == (0, 0)


def test_threads_may_share_it() -> None:
    states = HistoryStates(WIDTH, 3000)
    histories = [tokens_of(list(row)) for row in np.random.default_rng(0).integers(0, 3, (400, 6))]

    def ask(tokens: Tokens) -> bool:
        found = states.of_beginning(tokens)
        states.keep(tokens, encode(tokens))
        return np.array_equal(found, encode(tokens)[: len(found)])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, histories))
    assert states.nbytes <= 3000
