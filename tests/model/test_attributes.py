"""Columns hold what the items say, by type, in the arrays that are saved, and say what there is."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import attribute_files
from model.attribute_files import ColumnsBuilder, load_columns, save_columns
from model.attributes import AttributeColumns, Kind, attributes_of

ITEMS: list[dict[str, Any]] = [
    {"title": "A", "category": ["x", "y", "x"], "price": 3, "attributes": {"brand": "ü", "stock": True}},
    {"category": "y", "price": "3", "attributes": {"price": 9, "brand": "a"}, "tags": ["n", 4, None]},
    {"category": None, "price": 2.5, "odd": {"x": 1}, "attributes": {"brand": "ü"}},
]


def build(items: list[dict[str, Any]]) -> AttributeColumns:
    builder = ColumnsBuilder()
    for item in items:
        builder.add(item)
    return builder.build()


def content(columns: AttributeColumns) -> dict[str, dict[Kind, list[tuple[int, Any]]]]:
    """Every value that the columns hold, with its row."""
    return {
        name: {
            kind: [
                (int(row), column.words[int(value)] if column.words is not None else value.item())
                for row, value in zip(column.rows, column.values, strict=True)
            ]
            for kind, column in kinds.items()
        }
        for name, kinds in columns.columns.items()
    }


EXPECTED: dict[str, dict[str, list[tuple[int, Any]]]] = {
    "brand": {"string": [(0, "ü"), (1, "a"), (2, "ü")]},
    "category": {"string": [(0, "x"), (0, "y"), (1, "y")]},
    "price": {"number": [(0, 3.0), (2, 2.5)], "string": [(1, "3")]},
    "stock": {"boolean": [(0, 1)]},
    "tags": {"string": [(1, "n")]},
}


def test_every_type_of_an_attribute_has_a_column() -> None:
    assert content(build(ITEMS)) == EXPECTED


def test_a_field_of_the_metadata_counts_before_one_of_its_attributes() -> None:
    assert attributes_of({"a": 1, "title": "T", "attributes": {"a": 2, "b": 3, "text": "T"}}) == {"a": 1, "b": 3}
    assert attributes_of({"attributes": "red"}) == {"attributes": "red"}


def test_saved_columns_are_the_same_after_loading(tmp_path: Path) -> None:
    built = build(ITEMS)
    save_columns(built, tmp_path)
    loaded = load_columns(tmp_path)
    assert (loaded.size, loaded.names) == (3, sorted(EXPECTED))
    assert content(loaded) == EXPECTED
    assert loaded.summaries == built.summaries
    (tmp_path / "again").mkdir()
    save_columns(loaded, tmp_path / "again")
    assert content(load_columns(tmp_path / "again")) == EXPECTED


def test_items_without_attributes_have_no_columns(tmp_path: Path) -> None:
    save_columns(build([{"title": "A"}, {}]), tmp_path)
    assert load_columns(tmp_path).names == []


def test_a_summary_says_how_many_items_and_which_values() -> None:
    summaries = build(ITEMS).summaries
    assert summaries["category"][Kind.STRING].model_dump() == {
        "items": 2,
        "values": 2,
        "common": (("y", 2), ("x", 1)),
        "low": None,
        "high": None,
    }
    price = summaries["price"][Kind.NUMBER]
    assert (price.items, price.values, price.low, price.high) == (2, 2, 2.5, 3.0)
    assert summaries["stock"][Kind.BOOLEAN].common == ((True, 1),)


def test_strings_are_found_by_value() -> None:
    column = build(ITEMS).column("brand", Kind.STRING)
    assert column is not None
    assert column.words is not None
    assert [column.words.code(word) for word in ("a", "ü", "", "b", "\ud800")] == [0, 1, None, None, None]


def test_names_and_strings_beyond_the_bounds_are_no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_files, "MAX_WORDS", 3)
    monkeypatch.setattr(attribute_files, "MAX_ATTRIBUTES", 2)
    columns = build([{"id": f"{row}", "price": row, "third": 1} for row in range(5)])
    assert columns.names == ["price"]
    assert len(build([{"id": f"{row % 3}"} for row in range(5)]).columns["id"][Kind.STRING].rows) == 5


def test_a_column_takes_some_items_in_any_order() -> None:
    column = build(ITEMS).column("category", Kind.STRING)
    assert column is not None
    taken = column.take(np.array([1, 2, 0, 1]))
    assert (taken.rows.tolist(), taken.values.tolist()) == ([0, 2, 2, 3], [1, 0, 1, 1])


def test_the_values_of_a_few_items_cost_nothing_of_the_columns_size() -> None:
    """Numbers of another type than the column's made numpy convert all of it for every allow list with a filter."""
    column = build([{"price": number} for number in range(20_000)]).column("price", Kind.NUMBER)
    assert column is not None
    tracemalloc.start()
    taken = column.take(np.array([5, 19_999], dtype=np.int64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000
    assert taken.values.tolist() == [5.0, 19_999.0]
