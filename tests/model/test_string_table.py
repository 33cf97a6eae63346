"""A table of strings gives back every string and finds every string, whatever is in it."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import DataError
from model.string_hash import LONG
from model.string_index import NO_ROW
from model.string_table import StringColumn, StringTable

strings = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("a\0")), max_size=30)
distinct_strings = st.lists(strings, max_size=40, unique=True)


@settings(max_examples=200, deadline=None)
@given(rows=distinct_strings, others=st.lists(strings, max_size=10))
def test_every_string_is_found_on_its_row_and_no_other_string_is(rows: list[str], others: list[str]) -> None:
    table = StringTable.build(rows)
    assert [table[row] for row in range(len(table))] == rows
    for string in rows + others:
        assert table.find(string) == (rows.index(string) if string in rows else None)
    assert table.order.tolist() == sorted(range(len(rows)), key=lambda row: rows[row].encode())


def test_strings_with_a_long_common_prefix_sort_and_are_found() -> None:
    rows = [f"{'p' * 100}{number}" for number in (10, 9, 1, 100)] + ["p" * 100]
    table = StringTable.build(rows)
    assert [rows[row] for row in table.order] == sorted(rows)
    assert [table.find(row) for row in rows] == list(range(5))


@pytest.mark.parametrize("rows", [["a", "b", "a"], ["", ""], ["x" * 7, "x" * 7], ["x" * 50, "y", "x" * 50]])
def test_a_string_that_occurs_twice_is_refused(rows: list[str]) -> None:
    with pytest.raises(DataError, match="occurs twice"):
        StringTable.build(rows)


@pytest.mark.parametrize("rows", [["b", "ä€", ""], [""], []])
def test_a_saved_table_is_the_same_after_loading(tmp_path: Path, rows: list[str]) -> None:
    StringTable.build(rows).save(tmp_path, "ids")
    parts = {"bin", "offsets.npy", "order.npy", "index.starts.npy", "index.rows.npy", "index.tags.npy"}
    assert {path.name for path in tmp_path.iterdir()} == {f"ids.{part}" for part in parts}
    table = StringTable.load(tmp_path, "ids")
    assert [table[row] for row in range(len(table))] == rows
    assert [table.find(row) for row in rows] == list(range(len(rows)))


def test_a_column_may_hold_equal_strings(tmp_path: Path) -> None:
    StringColumn.build(["{}", "{}"]).save(tmp_path, "metadata")
    column = StringColumn.load(tmp_path, "metadata")
    assert [column[0], column[1]] == ["{}", "{}"]


def test_finding_many_keeps_the_order_and_marks_the_unknown() -> None:
    rows = StringTable.build(["a", "b", "c"]).find_rows(["c", "x", "a", "c", "y"])
    assert rows.tolist() == [2, -1, 0, 2, -1]
    assert rows.dtype == np.int64


@settings(max_examples=200, deadline=None)
@given(
    rows=distinct_strings,
    others=st.lists(strings, max_size=10),
    length=st.sampled_from([0, 7, 35, LONG - 4, LONG]),
    repeats=st.sampled_from([1, 20]),
)
def test_many_strings_at_once_are_found_as_a_dict_finds_them(
    rows: list[str], others: list[str], length: int, repeats: int
) -> None:
    """Prefixes of different lengths put strings on both sides of the bound up to which they are compared by words."""
    there = [*rows, *("p" * length + row for row in rows if length)]
    expected = {string: row for row, string in enumerate(there)}
    wanted = ["p" * (length if place % 2 else 0) + string for place, string in enumerate((rows + others) * 2)] * repeats
    table = StringTable.build(there)
    assert table.find_rows(wanted).tolist() == [expected.get(string, NO_ROW) for string in wanted]
    assert [table.find(string) for string in wanted] == [expected.get(string) for string in wanted]


def test_a_table_that_was_saved_without_its_index_is_indexed_when_it_is_loaded(tmp_path: Path) -> None:
    rows = [f"item-{row}" for row in range(100)]
    StringTable.build(rows).save(tmp_path, "ids")
    for path in tmp_path.glob("ids.index.*"):
        path.unlink()
    assert StringTable.load(tmp_path, "ids").find_rows([*rows, "x"]).tolist() == [*range(100), NO_ROW]


@pytest.mark.parametrize("part", ["order", "index.rows"])
def test_parts_of_two_tables_are_refused(tmp_path: Path, part: str) -> None:
    StringTable.build(["a", "b", "c"]).save(tmp_path, "ids")
    np.save(tmp_path / f"ids.{part}.npy", np.zeros(2, dtype=np.int32))
    with pytest.raises(ValueError, match="3 strings"):
        StringTable.load(tmp_path, "ids")


def test_a_lone_surrogate_is_unknown_rather_than_an_error() -> None:
    table = StringTable.build(["a"])
    assert table.find("\ud800") is None
    assert table.find_rows(["\ud800", "a"] * 40).tolist() == [NO_ROW, 0] * 40


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_outside_the_table_is_an_error(row: int) -> None:
    with pytest.raises(IndexError, match="2 rows"):
        StringTable.build(["a", "b"])[row]


def test_looking_up_costs_no_memory_that_grows_with_the_table(tmp_path: Path) -> None:
    StringTable.build(f"item-{row}" for row in range(50_000)).save(tmp_path, "ids")
    tracemalloc.start()
    table = StringTable.load(tmp_path, "ids")
    assert table.find("item-49999") == 49_999
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000
