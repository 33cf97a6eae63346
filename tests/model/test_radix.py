"""The radix sort gives numpy's stable order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.radix import stable_order


@settings(max_examples=100, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_the_order_is_stable_and_ascending(dtype: type[np.unsignedinteger], data: st.DataObject) -> None:
    top = int(np.iinfo(dtype).max)
    values = st.one_of(st.integers(0, top), st.sampled_from([0, 1, 255, top >> 8, top]))
    keys = np.array(data.draw(st.lists(values, max_size=50)), dtype=dtype)
    assert stable_order(keys).tolist() == sorted(range(len(keys)), key=lambda place: int(keys[place]))
