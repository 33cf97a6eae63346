"""The hash of a string is the same one by one and together, and does not change: catalogs on disk rely on it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.string_hash import LONG, hash_all, hash_one

around_the_bounds = [0, 1, 7, 8, 9, 16, LONG - 1, LONG, LONG + 1, 5_000]
strings = st.lists(
    st.one_of(st.binary(max_size=40), st.sampled_from(around_the_bounds).map(lambda length: b"\0\xff" * length)),
    max_size=20,
)


@settings(max_examples=200, deadline=None)
@given(parts=strings, before=st.binary(max_size=9), behind=st.binary(max_size=9))
def test_together_and_one_by_one_give_the_same_whatever_stands_around(
    parts: list[bytes], before: bytes, behind: bytes
) -> None:
    blob = np.frombuffer(before + b"".join(parts) + behind, dtype=np.uint8)
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    starts = len(before) + np.cumsum(lengths) - lengths
    assert hash_all(blob, starts, lengths).tolist() == [hash_one(part) for part in parts]


def test_the_hash_is_the_stated_one() -> None:
    """SplitMix64 gives 0xE220A8397B1DCDAF and 0x910A2DEC89025CC1 first from the seeds 0 and 1: the lengths here."""
    assert hash_one(b"") == 0xE220A8397B1DCDAF
    assert hash_one(b"\xc1") == finaliser(0x910A2DEC89025CC1 ^ 0xC1)


def finaliser(value: int) -> int:
    """The published steps on 64-bit integers of numpy."""
    state = np.array([value], dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return int(state[0])


def test_strings_that_differ_by_zeros_or_order_differ() -> None:
    alike = [b"", b"\0", b"\0\0", b"\0" * 8, b"\0" * 9, b"a", b"a\0", b"12345678abcdefgh", b"abcdefgh12345678"]
    assert len({hash_one(string) for string in alike}) == len(alike)


def test_hashes_spread_over_the_whole_range() -> None:
    """Of 100,000 numbered ids a tenth falls into each tenth of the range, within five standard deviations."""
    upper = np.array([hash_one(f"item-{item:08d}".encode()) for item in range(100_000)], dtype=np.float64) / 2**64
    counts, _ = np.histogram(upper, bins=10, range=(0, 1))
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(10_000)
