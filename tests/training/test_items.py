from pathlib import Path

import pytest

from model.errors import DataError
from training.items import Item, item_line, read_items, write_items

FULL = Item(
    id="a",
    title="Lamp\u2028 two lines",
    text="Warm\nlight",
    category=("Home", "Light"),
    price=12.5,
    attributes={"colour": "red", "year": 1995, "new": True, "tags": ["x", "y"]},
    image="sub/a.jpg",
)


def test_items_survive_a_round_trip_in_order(tmp_path: Path) -> None:
    items = [FULL, Item(id="b"), Item(id="c", title="é")]
    write_items(tmp_path / "items.jsonl", items)
    assert read_items(tmp_path / "items.jsonl") == items


def test_attribute_kinds_are_kept(tmp_path: Path) -> None:
    write_items(tmp_path / "items.jsonl", [FULL])
    (item,) = read_items(tmp_path / "items.jsonl")
    assert item.attributes["new"] is True
    assert item.attributes["year"] == 1995.0
    assert item.attributes["tags"] == ["x", "y"]


def test_defaults_are_not_written() -> None:
    assert item_line(Item(id="b")) == b'{"id":"b"}\n'


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id":"a"}\n{"id":')
    with pytest.raises(DataError, match="line 2"):
        read_items(path)
