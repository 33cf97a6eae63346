"""An index finds what is there and nothing else, even if an attack makes all hashes equal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import string_hash, string_index
from model.string_index import CROWDED, NO_ROW, UNDECIDED, Packed, StringIndex
from model.string_table import StringColumn, StringTable

strings = st.text(alphabet=st.sampled_from("ab\0é\U0001f600"), max_size=20)


@settings(max_examples=100, deadline=None)
@given(wanted=st.lists(strings, max_size=10))
def test_packing_keeps_every_string(wanted: list[str]) -> None:
    packed = Packed.of(wanted)
    parts = zip(packed.starts.tolist(), packed.lengths.tolist(), strict=True)
    assert [packed.blob[start : start + length].tobytes().decode() for start, length in parts] == wanted


def test_buckets_hold_about_one_row_each() -> None:
    """Else looking up would cost more than stated."""
    column = StringColumn.build(f"item-{row}" for row in range(20_000))
    index = StringIndex.build(Packed.column(column.blob, column.offsets))
    assert np.diff(index.starts).max() < 10
    assert sorted(index.rows.tolist()) == list(range(20_000))


def few_hashes(monkeypatch: pytest.MonkeyPatch, hashes: int) -> None:
    """Makes the hash of a string its length modulo ``hashes``, spread over the range."""

    def one(string: bytes) -> int:
        return (len(string) % hashes) << 62

    def many(_: object, starts: object, lengths: np.ndarray[tuple[int], np.dtype[np.int64]]) -> object:
        return (lengths % hashes).astype(np.uint64) << np.uint64(62)

    monkeypatch.setattr(string_index, "hash_one", one)
    monkeypatch.setattr(string_index, "hash_all", many)


@pytest.mark.parametrize("count", [5, CROWDED, CROWDED + 1, 300])
@pytest.mark.parametrize("hashes", [1, 2])
def test_equal_hashes_cost_no_wrong_answer(monkeypatch: pytest.MonkeyPatch, count: int, hashes: int) -> None:
    few_hashes(monkeypatch, hashes)
    there = [f"item-{row}" for row in range(count)]
    table = StringTable.build(there)
    wanted = [*there, *(f"item-{row}" for row in range(count, count + 40)), "", "item"]
    expected = [row if row < count else NO_ROW for row in range(count + 40)] + [NO_ROW] * 2
    assert table.find_rows(wanted).tolist() == expected
    assert [NO_ROW if (row := table.find(each)) is None else row for each in wanted] == expected


def test_a_crowded_bucket_is_left_to_a_search_by_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walking through it would let whoever can name items make every lookup as slow as there are items."""
    few_hashes(monkeypatch, 1)
    column = StringColumn.build(f"{row:03d}" for row in range(CROWDED + 1))
    index = StringIndex.build(Packed.column(column.blob, column.offsets))
    assert index.find(column.blob, column.offsets, Packed.of(["000", "x"])).tolist() == [UNDECIDED] * 2


def test_long_strings_are_compared_at_once_and_not_word_by_word(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[int] = []
    monkeypatch.setattr(string_index, "words", lambda *_: words.append(1))
    monkeypatch.setattr(string_hash, "words", lambda *_: words.append(1))
    there = [f"{row}{'x' * 100_000}" for row in range(40)]
    table = StringTable.build(there)
    assert table.find_rows([*there, "x" * 100_001]).tolist() == [*range(40), NO_ROW]
    assert words == []
