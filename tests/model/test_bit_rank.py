"""Counting bits gives what counting the places one by one gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.bit_rank import BitRank


@settings(max_examples=200, deadline=None)
@given(data=st.data(), size=st.one_of(st.integers(1, 200), st.sampled_from([63, 64, 65, 127, 128, 129])))
def test_places_up_to_a_limit_are_counted(data: st.DataObject, size: int) -> None:
    places = data.draw(st.sets(st.integers(0, size - 1)))
    rank = BitRank.of(np.array(sorted(places), dtype=np.int32), size)
    expected = [sum(place <= limit for place in places) for limit in range(size)]
    assert rank.count(np.arange(size)).tolist() == expected
