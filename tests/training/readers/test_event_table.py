from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from model.errors import DataError
from training.bad_rows import RowRules
from training.readers.event_table import EventColumns, EventFile, read_event_table

CATALOG = {"x": 0, "y": 1, "1": 2}
LENIENT = RowRules(max_bad_share=1)


def read_csv(
    tmp_path: Path, text: str | bytes, rules: RowRules = LENIENT, min_rating: float | None = None
) -> EventFile:
    path = tmp_path / "interactions.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_event_table(path, EventColumns(), CATALOG, rules, min_rating)


def test_columns_are_found_by_name_and_order_is_kept(tmp_path: Path) -> None:
    events, rows, _ = read_csv(tmp_path, "note,timestamp,item,user\nhi,5,x,b\n,3,y,a\n,5,1,b\n")
    assert [events.user_ids[user] for user in events.users] == ["b", "a", "b"]
    assert events.items.tolist() == [0, 1, 2]
    assert events.timestamps.tolist() == [5, 3, 5]
    assert (rows.rows, rows.bad) == (3, {})


def test_every_kind_of_bad_row_is_counted_at_its_physical_line(tmp_path: Path) -> None:
    lines = [
        "user,item,timestamp",
        "a,x,1",
        ",x,2",
        "a,,3",
        "",
        "a,x",
        "a,x,soon",
        "a,zzz,5",
        '"a",x,6,7',
        "b,y,8",
        ",,",
    ]
    events, rows, _ = read_csv(tmp_path, "\n".join(lines) + "\n")
    assert {kind: found.lines for kind, found in rows.bad.items()} == {
        "wrong number of fields": [6, 9],
        "no user": [3],
        "no item": [4],
        "unreadable timestamp": [7],
        "unknown item": [8],
    }
    assert rows.noted["blank row"].lines == [5, 11]
    assert rows.rows == len(lines) - 1
    assert events.timestamps.tolist() == [1, 8]


def test_a_row_with_two_faults_counts_once(tmp_path: Path) -> None:
    _, rows, _ = read_csv(tmp_path, "user,item,timestamp\n,zzz,\na,x,1\n,,4\n")
    assert sum(kind.count for kind in rows.bad.values()) == 2


def test_too_many_bad_rows_are_an_error(tmp_path: Path) -> None:
    good = "user,item,timestamp\n" + "a,x,1\n" * 99
    assert read_csv(tmp_path, good + "a,x,?\n", RowRules()).rows.bad["unreadable timestamp"].lines == [101]
    with pytest.raises(DataError, match="unreadable timestamp: 2 at line 101, 102"):
        read_csv(tmp_path, good + "a,x,?\na,x,?\n", RowRules())


def test_an_unknown_item_can_be_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2; the first is 'zzz'"):
        read_csv(tmp_path, "user,item,timestamp\na,zzz,1\n", RowRules(max_bad_share=1, unknown_item="error"))


def test_low_ratings_are_no_bad_rows_but_missing_ones_are(tmp_path: Path) -> None:
    text = "user,item,timestamp,rating\na,x,1,5\na,y,2,3.5\na,x,3,\na,x,4,4\n"
    events, rows, below = read_csv(tmp_path, text, min_rating=4)
    assert events.timestamps.tolist() == [1, 4]
    assert below == 1
    assert rows.bad["unreadable rating"].lines == [4]
    assert len(read_csv(tmp_path, text).events) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,item\na,x\n", r"no column \['timestamp'\], only \['user', 'item'\]"),
        ("", "no column"),
        (b"user,item,timestamp\n\xff,x,1\n", "UTF-8"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(tmp_path, text)


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    events, _, _ = read_csv(tmp_path, b"\xef\xbb\xbfuser,item,timestamp\r\na,x,1\r\n")
    assert (events.user_ids, len(events)) == (["a"], 1)


def test_a_file_of_only_a_header_has_no_events(tmp_path: Path) -> None:
    events, rows, _ = read_csv(tmp_path, "user,item,timestamp\n")
    assert len(events) == rows.rows == 0


def test_parquet_equals_csv_and_counts_rows_from_one(tmp_path: Path) -> None:
    columns = {"user": [1, 2, None, 1], "item": ["x", "zzz", "y", "1"], "timestamp": [4, 5, 6, 7]}
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "interactions.parquet")
    pa_csv.write_csv(table, tmp_path / "interactions.csv")
    parquet, csv = (
        read_event_table(tmp_path / f"interactions.{kind}", EventColumns(), CATALOG, LENIENT)
        for kind in ("parquet", "csv")
    )
    assert parquet.events.items.tolist() == csv.events.items.tolist() == [0, 2]
    assert [file.events.user_ids[user] for file in (parquet, csv) for user in file.events.users] == ["1"] * 4
    assert parquet.rows.bad["unknown item"].lines == [2]
    assert csv.rows.bad["unknown item"].lines == [3]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"uid": ["a"], "iid": ["x"], "ts": np.array([9])}), path)
    columns = EventColumns(user="uid", item="iid", timestamp="ts")
    assert read_event_table(path, columns, CATALOG, RowRules()).events.timestamps.tolist() == [9]


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "interactions.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match=r"interactions\.parquet is not a readable parquet"):
        read_event_table(path, EventColumns(), CATALOG, RowRules())
