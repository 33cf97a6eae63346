import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from model.errors import DataError
from training.bad_rows import RowRules
from training.images import FOLDER, open_images
from training.readers.item_rows import ItemFile, read_item_rows

LENIENT = RowRules(max_bad_share=1)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def read(
    tmp_path: Path, rows: list[dict[str, Any] | bytes], rules: RowRules = LENIENT, *, decode: bool = True
) -> ItemFile:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
    return read_item_rows(path, open_images(tmp_path), rules, decode=decode)


def add_images(tmp_path: Path, **files: bytes) -> None:
    (tmp_path / FOLDER).mkdir()
    for name, data in files.items():
        (tmp_path / FOLDER / name.replace("_", ".")).write_bytes(data)


def test_fields_are_brought_into_one_form(tmp_path: Path) -> None:
    row = {
        "id": 7, "title": None, "text": ["one", "two"], "category": "Home", "price": "12.5", "year": 1995, "new": True,
        "tags": ["a", 1], "box": {"w": 2}, "nothing": None, "attributes": {"colour": "red"},
    }  # fmt: skip
    (item,) = read(tmp_path, [row]).items
    assert (item.id, item.title, item.text, item.category, item.price) == ("7", "", "one\ntwo", ("Home",), 12.5)
    assert item.attributes == {
        "year": 1995.0, "new": True, "tags": ["a", "1"], "box": '{"w": 2}', "colour": "red",
    }  # fmt: skip


def test_every_kind_of_bad_row_is_counted_at_its_line(tmp_path: Path) -> None:
    rows: list[dict[str, Any] | bytes] = [
        b'\xef\xbb\xbf{"id": "a", "text": "t"}',
        b"",
        b'{"id": "b"',
        b"[1]",
        {"id": None},
        {"id": True},
        {"id": 1.5},
        {"id": ""},
        {"id": "a", "text": "again"},
        {"id": "c", "price": "cheap", "text": "t"},
        b'{"id": "d", "weight": NaN}',
        b'{"id": "e", "title": "\\ud800"}',
        b'{"id": "\xff"}',
        {"id": "f", "attributes": [1]},
        {"id": "g", "text": " "},
    ]
    items, found = read(tmp_path, rows)
    assert {kind: rows.lines for kind, rows in found.bad.items()} == {
        "malformed JSON": [3, 12, 13],
        "not a JSON object": [4],
        "id is neither a string nor an integer": [5, 6, 7, 8],
        "duplicate id": [9],
        "unreadable price": [10],
        "attribute that is not finite": [11],
        "attributes is not a JSON object": [14],
    }
    assert found.noted["empty text"].lines == [15]
    assert found.rows == 14
    assert [item.id for item in items] == ["a", "c", "g"]
    assert items[0].text == "t"


@pytest.mark.parametrize("ids", [(1, "1"), ("1", 1)])
def test_an_id_that_is_an_integer_and_a_string_is_an_error(tmp_path: Path, ids: tuple[str | int, ...]) -> None:
    with pytest.raises(DataError, match=r"line 2: '?1'? is an id both as an integer and as a string"):
        read(tmp_path, [{"id": item} for item in ids])


@pytest.mark.parametrize("price", ["NaN", "1e999", "true", '"nan"', "[1]", "1" * 400])
def test_an_item_stays_without_a_price_that_is_no_number(tmp_path: Path, price: str) -> None:
    items, found = read(tmp_path, [b'{"id": 1, "price": %b}' % price.encode()])
    assert items[0].price is None
    assert found.bad["unreadable price"].lines == [1]


def test_escaped_characters_beyond_the_basic_plane_are_text(tmp_path: Path) -> None:
    assert read(tmp_path, [b'{"id": 1, "title": "\\ud83d\\ude00"}']).items[0].title == "\N{GRINNING FACE}"


def test_too_many_bad_rows_are_an_error(tmp_path: Path) -> None:
    rows: list[dict[str, Any] | bytes] = [{"id": number} for number in range(99)]
    assert len(read(tmp_path, [*rows, b"{"], RowRules()).items) == 99
    with pytest.raises(DataError, match="malformed JSON: 2 at line 100, 101"):
        read(tmp_path, [*rows, b"{", b"{"], RowRules())


def test_an_empty_text_can_be_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty text: 1 at line 1"):
        read(tmp_path, [{"id": "a"}], RowRules(empty_text="error"))


def test_images_are_found_by_path_or_by_id(tmp_path: Path) -> None:
    add_images(tmp_path, **{"1_jpg": jpeg(), "named_jpeg": jpeg(), "3_png": jpeg(), "4_jpg": jpeg()})
    rows: list[dict[str, Any] | bytes] = [
        {"id": 1},
        {"id": 2, "image": "named.jpeg"},
        {"id": 3, "has_image": True},
        {"id": 4, "has_image": False},
        {"id": 5},
    ]
    items, found = read(tmp_path, rows)
    assert [item.image for item in items] == ["1.jpg", "named.jpeg", "3.png", None, None]
    assert found.bad == {}


def test_items_stay_without_an_image_that_is_missing_or_broken(tmp_path: Path) -> None:
    add_images(tmp_path, **{"3_jpg": jpeg()[:-300], "4_jpg": b"no image"})
    rows: list[dict[str, Any] | bytes] = [
        {"id": 1, "image": "absent.jpg"},
        {"id": 2, "has_image": True},
        {"id": 3},
        {"id": 4},
        {"id": 5, "image": "../items.jsonl"},
        {"id": 6, "image": ["https://example.org/a.jpg"]},
    ]
    items, found = read(tmp_path, rows)
    assert [item.image for item in items] == [None] * 6
    assert found.bad["missing image"].lines == [1, 2, 5, 6]
    assert found.bad["image that does not decode"].lines == [3, 4]
    assert [item.image for item in read(tmp_path, rows, decode=False).items][2:4] == ["3.jpg", "4.jpg"]


@pytest.mark.parametrize(("name", "message"), [("absent.jpg", "absent"), ("bad.jpg", "does not decode")])
def test_a_missing_or_broken_image_can_be_an_error(tmp_path: Path, name: str, message: str) -> None:
    add_images(tmp_path, bad_jpg=b"no image")
    with pytest.raises(DataError, match=f"line 1; .*{message}"):
        read(tmp_path, [{"id": 1, "image": name}], RowRules(max_bad_share=1, broken_image="error"))


def test_images_that_the_data_does_not_have_are_noted(tmp_path: Path) -> None:
    items, found = read(tmp_path, [{"id": 1, "has_image": True}, {"id": 2}])
    assert items[0].image is None
    assert found.noted["image, but the data has no images"].lines == [1]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.jsonl"):
        read_item_rows(tmp_path / "items.jsonl", None, LENIENT)
