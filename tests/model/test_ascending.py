"""What numpy's general functions answer, of arrays in order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.ascending import is_among, is_held, runs

numbers = st.lists(st.integers(-5, 40), max_size=30)


@given(numbers=numbers)
def test_runs_are_distinct_values_and_their_counts(numbers: list[int]) -> None:
    ascending = np.sort(np.array(numbers, dtype=np.int32))
    values, counts = runs(ascending)
    expected = np.unique(ascending, return_counts=True)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(counts, expected[1])
    assert values.dtype == np.int32
    assert counts.dtype == np.int64


@given(numbers=numbers, wanted=numbers)
def test_what_is_held_is_in(numbers: list[int], wanted: list[int]) -> None:
    ascending, asked = np.sort(np.array(numbers, dtype=np.int64)), np.array(wanted, dtype=np.int64)
    np.testing.assert_array_equal(is_held(asked, ascending), np.isin(asked, ascending))


@given(numbers=st.sets(st.integers(-5, 40), max_size=30), few=numbers)
def test_what_is_among_others_is_in_them(numbers: set[int], few: list[int]) -> None:
    ascending, others = np.array(sorted(numbers), dtype=np.int32), np.array(few, dtype=np.int64)
    np.testing.assert_array_equal(is_among(ascending, others), np.isin(ascending, others))
